"""The archive: reads its partitions in order and writes Parquet files named by log range."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import redis

from ingestion.archive.buffer import Buffer, Limits, cut_by_day
from ingestion.archive.metrics import ArchiveMetrics
from ingestion.worker.lease import Leases
from nearline import keys
from nearline.clock import Clock
from nearline.contracts.position import LogPosition, start_of
from nearline.history import archived_positions, files, log_file_name, table_of, write_day_file
from nearline.log import Entry, read_pages

PAGE_EVENTS = 1_000
DAY_MS = 86_400_000

# KEYS: log, applied position, the worker's lease. ARGV: archived ms and counter, newest ms
# that is old enough to go, the backfill's mark in a lease.
# A running backfill reads the log behind the history that it listed: nothing may go meanwhile.
_TRIM_SCRIPT = """
local holder = redis.call('GET', KEYS[3])
if holder and string.find(holder, ARGV[4], 1, true) == 1 then return 0 end
local applied = redis.call('GET', KEYS[2])
if not applied then return 0 end
local ms, counter = string.match(applied, '^(%d+)%-(%d+)$')
ms, counter = tonumber(ms), tonumber(counter)
local archived_ms, archived_counter = tonumber(ARGV[1]), tonumber(ARGV[2])
if archived_ms < ms or (archived_ms == ms and archived_counter < counter) then
  ms, counter = archived_ms, archived_counter
end
if tonumber(ARGV[3]) < ms then ms, counter = tonumber(ARGV[3]), 0 end
return redis.call('XTRIM', KEYS[1], 'MINID', '~', string.format('%.0f-%.0f', ms, counter))
"""
BACKFILL_MARK = "backfill|"

_logger = logging.getLogger(__name__)


class Archive:
    """Archives the partitions whose leases it holds.

    Where it stands is what the names of its files say, so a file and its position appear
    together: a restart neither loses nor repeats an event.
    """

    def __init__(
        self,
        client: redis.Redis,
        leases: Leases,
        root: Path,
        limits: Limits,
        retention_days: float,
        clock: Clock,
        metrics: ArchiveMetrics,
    ) -> None:
        self._client, self._leases, self._root = client, leases, root
        self._retention_ms = int(retention_days * DAY_MS)
        self._clock, self._metrics = clock, metrics
        self._buffer = Buffer(limits)
        self._written: dict[int, LogPosition] = {}
        self._trim = client.register_script(_TRIM_SCRIPT)

    def step(self, block_ms: int | None) -> int:
        """Read the next page of each partition held, write if due; return entries read.

        Waits up to `block_ms` for something to read. Raises redis.RedisError when the server
        is away; stepping again later goes on.
        """
        self._take_turns()
        read = 0
        if self._buffer.reached:
            pages = read_pages(
                self._client, self._buffer.reached, count=PAGE_EVENTS, block_ms=block_ms
            )
            for partition, page in pages.items():
                for position in page.unreadable:
                    self._metrics.unreadable.inc()
                    _logger.warning("the log entry at %s cannot be decoded: left out", position)
                self._buffer.add(partition, page, self._clock.now_us())
                read += len(page.entries) + len(page.unreadable)
        if self._buffer.is_due(self._clock.now_us()):
            self.flush()
        self._metrics.waiting.set(self._buffer.events)
        return read

    def flush(self) -> None:
        """Write everything that waits, record how far history reaches, and trim the log."""
        for partition in sorted(self._buffer.reached):
            for day, run in cut_by_day(self._buffer.entries.get(partition, [])):
                if not self._still_ours(partition):
                    break
                self._write(day, run)
            else:
                self._buffer.clear(partition)
                self._trim_behind(partition)
                continue
            # Another writer has taken over: what was not written is its business now.
            self._buffer.forget(partition)
            self._written.pop(partition, None)

    def start_over(self) -> None:
        """Forget what was read and is not written, after an error; the log still has it."""
        for partition in list(self._buffer.reached):
            self._buffer.forget(partition)
        self._written = {}

    def trim(self) -> None:
        """Remove from the log what is archived, applied and old enough."""
        for partition in sorted(self._written):
            self._trim_behind(partition)

    def _take_turns(self) -> None:
        held = self._leases.tend()
        for partition in self._buffer.reached.keys() - held:
            self._buffer.forget(partition)
            self._written.pop(partition, None)
        new = held - self._buffer.reached.keys()
        if new:
            archived = archived_positions(files(self._root))
            for partition in new:
                position = archived.get(partition, start_of(partition))
                self._buffer.reached[partition] = self._written[partition] = position

    def _write(self, day: str, run: list[Entry]) -> None:
        first, last = run[0].position, run[-1].position
        with self._metrics.write_seconds.time():
            table = table_of([e.event for e in run], [e.position for e in run])
            write_day_file(self._root, day, log_file_name(first, last), table)
        self._written[first.partition] = last
        self._client.set(keys.archived(first.partition), last.stream_id)
        self._metrics.events.inc(len(run))
        self._metrics.files.inc()

    def _trim_behind(self, partition: int) -> None:
        archived = self._written[partition]
        gone: Any = self._trim(
            keys=[keys.log(partition), keys.applied(partition), keys.lease(partition, "worker")],
            args=[
                archived.ms,
                archived.counter,
                self._clock.now_us() // 1_000 - self._retention_ms,
                BACKFILL_MARK,
            ],
        )
        self._metrics.trimmed.inc(int(gone))

    def _still_ours(self, partition: int) -> bool:
        return partition in self._leases.tend(now=True)
