"""The stream's real parts, put together for a test: log, worker, archive, backfill."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import redis
import redis.asyncio
from prometheus_client import CollectorRegistry

from ingestion.archive.buffer import Limits
from ingestion.archive.metrics import ArchiveMetrics
from ingestion.archive.writer import Archive
from ingestion.backfill.job import Backfill, Report
from ingestion.worker.fold import CUSTOMERS, ITEMS
from ingestion.worker.lease import Holder, Leases, this_process
from ingestion.worker.loop import Worker
from ingestion.worker.metrics import WorkerMetrics
from ingestion.worker.store import OnlineStore
from nearline.clock import Clock, SystemClock
from nearline.contracts.event import Event
from nearline.contracts.position import LogPosition
from nearline.contracts.verdict import Outcome, Verdict
from nearline.feast_layout import REVISION, ViewLayout
from nearline.log import EventLog
from nearline.transforms.columns import Columns

PARTITIONS = 3


def append(
    client: redis.Redis, events: Sequence[Event], partitions: int = PARTITIONS, batch: int = 500
) -> list[Verdict]:
    """Store events as the collector does."""

    async def go() -> list[Verdict]:
        verdicts: list[Verdict] = []
        port = client.connection_pool.connection_kwargs["port"]
        async with redis.asyncio.Redis(port=port) as connection:
            log = EventLog(connection, partitions)
            for start in range(0, len(events), batch):
                verdicts += await log.append(events[start : start + batch])
        return verdicts

    return asyncio.run(go())


def accepted(verdicts: Sequence[Verdict]) -> list[LogPosition]:
    return [v.position for v in verdicts if v.outcome is Outcome.ACCEPTED and v.position]


def worker_of(
    client: redis.Redis,
    *,
    holder: Holder | None = None,
    store: OnlineStore | None = None,
    metrics: WorkerMetrics | None = None,
    partitions: int = PARTITIONS,
    page_events: int = 500,
    monotonic: Callable[[], float] = time.monotonic,
) -> Worker:
    """A worker in this process. Workers of one holder share its leases: that is the bypass."""
    leases = Leases(client, "worker", range(partitions), holder=holder or this_process("worker"))
    return Worker(
        client,
        leases,
        store or OnlineStore(client),
        metrics or WorkerMetrics(CollectorRegistry()),
        SystemClock(),
        page_events,
        monotonic,
    )


def drain(step: Callable[[int | None], int]) -> int:
    """Step until nothing is left; returns how many entries were read."""
    total = 0
    while read := step(None):
        total += read
    return total


def stream(client: redis.Redis, partitions: int = PARTITIONS) -> int:
    """Apply the whole log with a worker that then ends."""
    return drain(worker_of(client, holder=ENDED, partitions=partitions).step)


# One holder for all short-lived workers of a test, so that each finds its leases free.
ENDED = this_process("worker")


def archive_of(
    client: redis.Redis,
    root: Path,
    *,
    holder: Holder | None = None,
    limits: Limits | None = None,
    retention_days: float = 7.0,
    clock: Clock | None = None,
    metrics: ArchiveMetrics | None = None,
    partitions: int = PARTITIONS,
) -> Archive:
    leases = Leases(client, "history", range(partitions), holder=holder or ENDED)
    return Archive(
        client,
        leases,
        root,
        limits or Limits(age_s=3_600, events=10**9),
        retention_days,
        clock or SystemClock(),
        metrics or ArchiveMetrics(CollectorRegistry()),
    )


def archived(client: redis.Redis, root: Path, partitions: int = PARTITIONS) -> None:
    """Write the whole log to history."""
    archive = archive_of(client, root, partitions=partitions)
    drain(archive.step)
    archive.flush()


def backfill(client: redis.Redis, root: Path, partitions: int = PARTITIONS) -> Report:
    """Run a backfill that takes over from the workers of this test."""
    for partition in range(partitions):
        client.delete(f"nl:{{{partition}}}:lease:worker")
    leases = Leases(client, "worker", range(partitions), holder=this_process("backfill"))
    try:
        return Backfill(client, leases, root, partitions, lambda *_: None).run()
    finally:
        leases.release()


def rows(client: redis.Redis) -> dict[bytes, dict[bytes, bytes]]:
    """Every entity's hash as it lies in Redis, less the revision."""
    keys = {key for key in client.scan_iter(count=5_000) if not key.startswith(b"nl:")}
    pipeline = client.pipeline(transaction=False)
    for key in keys:
        pipeline.hgetall(key)
    replies: list[Any] = pipeline.execute()
    for held in replies:
        held.pop(REVISION, None)
    return dict(zip(keys, replies, strict=True))


def wipe_rows(client: redis.Redis) -> None:
    """Remove every entity's hash."""
    if held := rows(client):
        client.delete(*held)


def without_sequences(
    held: Mapping[bytes, Mapping[bytes, bytes]],
) -> dict[bytes, dict[bytes, bytes]]:
    return {
        key: {field: value for field, value in row.items() if not field.startswith(b"_seq:")}
        for key, row in held.items()
    }


def encoded(
    customers: Mapping[str, tuple[Columns, int]], items: Mapping[str, tuple[Columns, int]]
) -> dict[bytes, dict[bytes, bytes]]:
    """Counted rows as the bytes that must lie in Redis."""
    return {
        layout.key(entity_id): pairs(layout, row, known_at_us)
        for layout, of in ((CUSTOMERS.layout, customers), (ITEMS.layout, items))
        for entity_id, (row, known_at_us) in of.items()
    }


def pairs(layout: ViewLayout, row: Columns, known_at_us: int) -> dict[bytes, bytes]:
    flat = layout.encode(row, known_at_us)
    return dict(zip(flat[::2], flat[1::2], strict=True))
