"""The commands as processes: start, wait their turn, stop when told, and how fast they are."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from click.testing import CliRunner

from ingestion.backfill.commands import backfill
from ingestion.backfill.job import PartitionsTaken
from ingestion.worker.store import OnlineStore
from nearline.clock import SystemClock
from nearline.contracts.position import partition_of
from nearline.errors import StoreUnavailable
from nearline.feast_layout import CUSTOMER_VIEW, sequence_field
from nearline.history import events_of, read_days
from tests.integration.stream.parts import accepted, append
from tests.integration.stream.processes import COMMANDS, Running, environment, until
from tests.unit.stream.made import event

pytestmark = pytest.mark.redis

PARTITIONS = 4


@pytest.fixture
def port(valkey: redis.Redis) -> int:
    return int(valkey.connection_pool.connection_kwargs["port"])


def test_the_worker_loads_nothing_heavy() -> None:
    code = "import ingestion.worker.app, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    loaded = set(done.stdout.split())
    assert not loaded & {"feast", "pandas", "pyarrow", "ray", "torch", "mlflow", "numpy"}


def test_a_second_worker_says_for_whom_it_waits_and_takes_over_after_a_kill(
    valkey: redis.Redis, port: int, tmp_path: Path
) -> None:
    env = environment(tmp_path, port, PARTITIONS)
    first = Running("worker", env, tmp_path / "first.txt")
    until("the first works", lambda: "ready" in first.output.read_text())
    second = Running("worker", env, tmp_path / "second.txt")
    try:
        until("the second waits", lambda: "waits for 4 of 4" in second.output.read_text())
        first.kill()
        until("the second works", lambda: "ready" in second.output.read_text())
        (position,) = accepted(append(valkey, [event("1")], PARTITIONS))
        store = OnlineStore(valkey)
        until("it applies", lambda: store.applied(position.partition) == position)
        page = f"http://127.0.0.1:{env['NEARLINE_METRICS_PORT']}/metrics"
        until("it tells so", lambda: "nearline" in read(page))
    finally:
        status = second.end()

    assert status == 0
    assert "worker (process" in second.output.read_text()


def test_history_writes_what_it_has_read_before_it_stops(
    valkey: redis.Redis, port: int, tmp_path: Path
) -> None:
    env = environment(tmp_path, port, PARTITIONS)
    history = Running("history", env, tmp_path / "history.txt")
    url = f"http://127.0.0.1:{int(env['NEARLINE_METRICS_PORT']) + 1}/metrics"
    try:
        until("it works", lambda: "ready" in history.output.read_text())
        append(valkey, [event("1")], PARTITIONS)
        until("it has read", lambda: "waiting_events 1.0" in read(url))
    finally:
        status = history.end()

    assert status == 0
    ids = [e.event_id for _, table in read_days(tmp_path / "history") for e in events_of(table)]
    assert ids == ["1"]


def test_worker_and_history_end_by_themselves_when_asked_to_do_it_once(
    valkey: redis.Redis, port: int, tmp_path: Path
) -> None:
    (position,) = accepted(append(valkey, [event("1")], PARTITIONS))
    env = environment(tmp_path, port, PARTITIONS)

    for command in ("worker", "history"):
        code = COMMANDS[command].replace("()", "(['--once'])")
        subprocess.run([sys.executable, "-c", code], env=env, check=True, timeout=60)

    assert OnlineStore(valkey).applied(position.partition) == position
    assert len(list((tmp_path / "history").glob("day=*/*.parquet"))) == 1


def test_the_backfill_command_reports_and_refuses_beside_a_worker(
    valkey: redis.Redis, port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env = environment(tmp_path, port, PARTITIONS)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    append(valkey, [event("1")], PARTITIONS)

    done = CliRunner().invoke(backfill)
    worker = Running("worker", env, tmp_path / "worker.txt")
    try:
        until("the worker works", lambda: "ready" in worker.output.read_text())
        refused = CliRunner().invoke(backfill)
    finally:
        worker.end()

    assert "1 events became 1 customers and 1 items" in done.output
    assert isinstance(refused.exception, PartitionsTaken)


def test_without_redis_a_command_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEARLINE_HOME", str(tmp_path))
    monkeypatch.setenv("NEARLINE_REDIS_URL", "redis://:secret@127.0.0.1:1/0")

    refused = CliRunner().invoke(backfill)

    assert isinstance(refused.exception, StoreUnavailable)
    assert "127.0.0.1:1" in str(refused.exception)
    assert "secret" not in str(refused.exception)


def test_what_stops_a_backfill_is_said_without_the_customer_whom_it_struck(
    valkey: redis.Redis, port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment(tmp_path, port, PARTITIONS).items():
        monkeypatch.setenv(name, value)
    append(valkey, [event("1", customer_id="secret-name")], PARTITIONS)
    valkey.set(CUSTOMER_VIEW.key("secret-name"), "no hash")

    struck = CliRunner().invoke(backfill)

    assert isinstance(struck.exception, StoreUnavailable)
    assert "secret-name" not in f"{struck.exception} {struck.output}"


@pytest.mark.slow
def test_an_event_is_in_the_features_well_within_200_ms(
    valkey: redis.Redis, port: int, tmp_path: Path, figure: Callable[[str], None]
) -> None:
    worker = Running("worker", environment(tmp_path, port, PARTITIONS), tmp_path / "worker.txt")
    clock, taken_ms = SystemClock(), []
    try:
        until("it works", lambda: "ready" in worker.output.read_text())
        for number in range(300):
            customer_id = f"customer-{number % 50}"
            now_us = clock.now_us()
            sent = event(str(number), customer_id=customer_id, occurred_at_us=now_us)
            began = time.perf_counter()
            (position,) = accepted(append(valkey, [sent], PARTITIONS))
            stored = time.perf_counter()
            key = CUSTOMER_VIEW.key(customer_id)
            field = sequence_field(partition_of(customer_id, PARTITIONS)).decode()
            while valkey.hget(key, field) != position.stream_id.encode():
                assert time.perf_counter() - stored < 10
            taken_ms.append((time.perf_counter() - began) * 1_000)
    finally:
        worker.end()

    taken_ms.sort()
    figure(
        f"event sent to features readable, {len(taken_ms)} single events: "
        f"p50 {taken_ms[len(taken_ms) // 2]:.1f} ms, p99 {taken_ms[int(len(taken_ms) * 0.99)]:.1f} "
        f"ms (of which storing it, fsynced, is a part)"
    )
    assert taken_ms[len(taken_ms) // 2] < 200


def read(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return str(answer.read().decode())
    except OSError:
        return ""
