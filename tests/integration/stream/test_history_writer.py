from __future__ import annotations

import random
from pathlib import Path

import pytest
import redis
from prometheus_client import CollectorRegistry

from ingestion.archive.buffer import Limits
from ingestion.archive.metrics import ArchiveMetrics
from ingestion.archive.writer import PAGE_EVENTS
from ingestion.worker.lease import Leases, this_process
from nearline import keys
from nearline.clock import FixedClock, SystemClock
from nearline.contracts.position import LogPosition
from nearline.history import events_of, files, last_archived, positions_of, read_days
from tests.integration.stream.parts import (
    PARTITIONS,
    accepted,
    append,
    archive_of,
    archived,
    drain,
    stream,
)
from tests.unit.stream.made import DAY_US, HOUR_US, NOON_US, event, shop_log

pytestmark = pytest.mark.redis


def held(root: Path) -> list[str]:
    return sorted(one.event_id for _, table in read_days(root) for one in events_of(table))


def test_history_holds_every_event_once_at_its_position(
    valkey: redis.Redis, tmp_path: Path
) -> None:
    log = shop_log(1, 500)
    positions = accepted(append(valkey, log))

    archived(valkey, tmp_path)

    found = [
        pair
        for _, table in read_days(tmp_path)
        for pair in zip(events_of(table), positions_of(table), strict=True)
    ]
    assert sorted(found, key=lambda pair: pair[0].event_id) == sorted(
        zip(log, positions, strict=True), key=lambda pair: pair[0].event_id
    )


def test_restarts_at_any_moment_neither_lose_nor_repeat_an_event(
    valkey: redis.Redis, tmp_path: Path
) -> None:
    chance = random.Random(3)
    log = shop_log(3, 900, gap_us=HOUR_US)
    for start in range(0, len(log), 100):
        append(valkey, log[start : start + 100])
        archive = archive_of(valkey, tmp_path, limits=Limits(3_600, chance.randrange(20, 200)))
        for _ in range(chance.randrange(3)):
            archive.step(None)
        # Here it is killed: what it had read and not written is gone with it.

    archived(valkey, tmp_path)

    assert held(tmp_path) == sorted(one.event_id for one in log)


def test_a_kill_between_the_files_of_a_flush_loses_nothing(
    valkey: redis.Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Around midnight: two days alternate in one partition.
    midnight_us = NOON_US + 12 * HOUR_US
    log = [
        event(str(n), occurred_at_us=midnight_us + (-1 if n % 3 else 1) * HOUR_US)
        for n in range(12)
    ]
    append(valkey, log)
    archive = archive_of(valkey, tmp_path)
    drain(archive.step)
    rename, done = Path.rename, []

    def killed_at_third(path: Path, target: Path) -> Path:
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(target)
        return rename(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", killed_at_third)
        with pytest.raises(KeyboardInterrupt):
            archive.flush()
    assert len(files(tmp_path)) == 2

    archived(valkey, tmp_path)

    assert held(tmp_path) == sorted(one.event_id for one in log)


def test_a_full_disk_is_waited_out_without_reading_ahead(
    valkey: redis.Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(valkey, [event("1"), event("2")])
    archive = archive_of(valkey, tmp_path, limits=Limits(3_600, 1))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", full)
        with pytest.raises(OSError, match="No space"):
            archive.step(None)
        archive.start_over()
    drain(archive.step)

    assert held(tmp_path) == ["1", "2"]


def test_an_unreadable_entry_does_not_stop_history(valkey: redis.Redis, tmp_path: Path) -> None:
    append(valkey, [event("1")])
    for partition in range(PARTITIONS):
        valkey.xadd(keys.log(partition), {"e": b"\xc1"})
    append(valkey, [event("2")])
    metrics = ArchiveMetrics(CollectorRegistry())
    archive = archive_of(valkey, tmp_path, metrics=metrics)

    drain(archive.step)
    archive.flush()

    assert held(tmp_path) == ["1", "2"]
    assert metrics.unreadable.collect()[0].samples[0].value == PARTITIONS


def test_the_log_keeps_what_is_not_archived_not_applied_or_not_old(
    valkey: redis.Redis, tmp_path: Path
) -> None:
    many = PAGE_EVENTS // 2
    append(valkey, [event(str(n), customer_id=f"c{n}") for n in range(many)], batch=50)
    before = [valkey.xlen(keys.log(p)) for p in range(PARTITIONS)]

    def after_a_flush(days_later: float) -> list[int]:
        clock = FixedClock(SystemClock().now_us() + int(days_later * DAY_US))
        archive = archive_of(valkey, tmp_path, clock=clock)
        drain(archive.step)
        archive.flush()
        return [valkey.xlen(keys.log(p)) for p in range(PARTITIONS)]

    assert after_a_flush(8) == before  # Not applied.
    stream(valkey)
    assert after_a_flush(6) == before  # Not old.
    gone = after_a_flush(8)  # Trimmed in whole nodes of 100 entries or so.
    assert all(0 < left < held for left, held in zip(gone, before, strict=True))
    assert len(held(tmp_path)) == many


def test_nothing_is_trimmed_while_a_backfill_runs(valkey: redis.Redis, tmp_path: Path) -> None:
    append(valkey, [event(str(n), customer_id=f"c{n}") for n in range(500)], batch=50)
    stream(valkey)
    for partition in range(PARTITIONS):
        valkey.delete(keys.lease(partition, "worker"))
    leases = Leases(valkey, "worker", range(PARTITIONS), holder=this_process("backfill"))
    leases.tend()
    before = [valkey.xlen(keys.log(p)) for p in range(PARTITIONS)]
    archive = archive_of(valkey, tmp_path, retention_days=-1)

    drain(archive.step)
    archive.flush()
    assert [valkey.xlen(keys.log(p)) for p in range(PARTITIONS)] == before
    leases.release()
    archive.trim()
    assert [valkey.xlen(keys.log(p)) for p in range(PARTITIONS)] < before


def test_a_writer_that_lost_its_partition_writes_no_more_of_it(
    valkey: redis.Redis, tmp_path: Path
) -> None:
    append(valkey, [event("1")])
    frozen = archive_of(valkey, tmp_path, holder=this_process("history"))
    frozen.step(None)
    for partition in range(PARTITIONS):  # Its leases ran out, and another took over.
        valkey.delete(keys.lease(partition, "history"))
    other = archive_of(valkey, tmp_path, holder=this_process("history"))
    append(valkey, [event("2")])
    drain(other.step)
    other.flush()

    frozen.flush()

    assert len(files(tmp_path)) == 1
    assert held(tmp_path) == ["1", "2"]


def test_files_say_how_far_history_reaches_and_the_key_agrees(
    valkey: redis.Redis, tmp_path: Path
) -> None:
    positions = accepted(append(valkey, [event(str(n)) for n in range(5)]))

    archived(valkey, tmp_path)

    last = positions[-1]
    assert last_archived(tmp_path, last.partition) == last
    hint = valkey.get(keys.archived(last.partition))
    assert LogPosition.of(last.partition, hint) == last
