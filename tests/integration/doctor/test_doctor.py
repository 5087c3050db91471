"""`nearline doctor` against a real server, well and unwell."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest
import redis
from click.testing import CliRunner

from nearline import keys
from nearline.doctor import probe_services
from nearline.doctor.commands import doctor
from nearline.doctor.probe_store import Store
from nearline.doctor.service_checks import Health
from nearline.embedded.valkey import EmbeddedValkey, free_port

pytestmark = pytest.mark.redis
PARTITIONS = 4


def run(monkeypatch: pytest.MonkeyPatch, home: Path, url: str) -> dict[str, dict[str, str]]:
    monkeypatch.setenv("NEARLINE_HOME", str(home))
    monkeypatch.setenv("NEARLINE_REDIS_URL", url)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for name in ("COLLECTOR_HTTP", "COLLECTOR_GRPC", "API_HTTP", "API_GRPC", "METRICS"):
        monkeypatch.setenv(f"NEARLINE_{name}_PORT", str(free_port()))
    answer = CliRunner().invoke(doctor, ["--json"])
    document = json.loads(answer.stdout)
    assert answer.exit_code == (1 if document["failures"] else 0)
    return {result["name"]: result for result in document["results"]}


def test_without_anything_running_it_says_so_and_leaves_no_trace(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    home = tmp_path / "home"

    found = run(monkeypatch, home, f"redis://127.0.0.1:{free_port()}/0")

    levels = {name: result["level"] for name, result in found.items()}
    assert levels["python"] == "ok"
    for name in ("redis", "feast", "champion", "collector", "api"):
        assert levels[name] == "fail"
    assert found["event_log"]["what"].startswith("not checked")
    assert not home.exists()


def test_a_host_that_is_not_here_is_told_as_that_and_not_as_ports_that_are_taken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("NEARLINE_HOST", "203.0.113.1")  # of nobody (RFC 5737)
    # Where packets to nobody are dropped, each question would wait for its limit.
    monkeypatch.setattr(probe_services, "health", lambda _: Health(error="not asked"))

    found = run(monkeypatch, tmp_path, f"redis://127.0.0.1:{free_port()}/0")

    assert "not checked: NEARLINE_HOST='203.0.113.1' cannot be" in found["ports"]["what"]


def test_our_own_server_is_durable_and_evicts_nothing(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    valkey: redis.Redis,
    valkey_server: EmbeddedValkey,
) -> None:
    found = run(monkeypatch, tmp_path, valkey_server.url)

    for name in ("redis", "redis_version", "durability", "eviction", "clock", "partitions"):
        assert found[name]["level"] == "ok", found[name]


def test_a_weakened_server_fails(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    valkey: redis.Redis,
    valkey_server: EmbeddedValkey,
) -> None:
    valkey.config_set("appendfsync", "everysec")
    valkey.config_set("maxmemory-policy", "allkeys-lru")
    valkey.hset(keys.META, "partitions", 8)
    try:
        found = run(monkeypatch, tmp_path, valkey_server.url)
    finally:
        valkey.config_set("appendfsync", "always")
        valkey.config_set("maxmemory-policy", "noeviction")

    for name in ("durability", "eviction", "partitions"):
        assert found[name]["level"] == "fail", found[name]


def test_events_that_nobody_reads_are_found_with_their_age(
    valkey: redis.Redis, valkey_server: EmbeddedValkey
) -> None:
    seconds, _ = valkey.time()  # type: ignore[misc]
    since_s = time.monotonic()
    first = f"{(seconds - 40) * 1_000}-0"
    valkey.xadd(keys.log(2), {"e": b"1"}, id=first)
    valkey.xadd(keys.log(2), {"e": b"2"}, id=f"{(seconds - 30) * 1_000}-0")
    valkey.set(keys.applied(2), first)
    valkey.set(keys.lease(2, "worker"), "somebody")
    store = Store(valkey_server.url)

    worker = store.behind(PARTITIONS, "worker")
    history = store.behind(PARTITIONS, "history")
    store.close()
    late_s = time.monotonic() - since_s + 1.0  # The server's second had begun before.

    assert [one.waiting_s for one in worker if one.partition != 2] == [None] * 3
    assert worker[2].waiting_s is not None
    assert 30.0 <= worker[2].waiting_s <= 30.0 + late_s
    assert (worker[2].holder, history[2].holder) == (True, False)
    assert history[2].waiting_s is not None
    assert 40.0 <= history[2].waiting_s <= 40.0 + late_s


def test_rejected_and_refused_events_are_counted_over_all_partitions(
    valkey: redis.Redis, valkey_server: EmbeddedValkey
) -> None:
    for partition in range(PARTITIONS):
        valkey.hset(keys.counts(partition), mapping={"received": 10, "consent_refused": 2})
        valkey.xadd(keys.dead_letters(partition), {"code": "bad"})
    store = Store(valkey_server.url)

    assert store.counts(PARTITIONS) == {"received": 40, "consent_refused": 8}
    assert store.dead_letters(PARTITIONS) == 4
    store.close()
