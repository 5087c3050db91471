"""The worker: pages of its partitions, in order, into the online store."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping

import redis

from ingestion.worker.fold import changes_of
from ingestion.worker.lease import Leases
from ingestion.worker.metrics import WorkerMetrics
from ingestion.worker.store import OnlineStore
from nearline.clock import Clock
from nearline.contracts.position import LogPosition
from nearline.log import Page, read_pages

PAGE_EVENTS = 500
# How long applied positions may go unrecorded. Each record is a sync to disk of its own, beside
# that of the event and that of its rows, and the next sender waits for all of them.
RECORD_MS = 20

_logger = logging.getLogger(__name__)


class Worker:
    """Works on the partitions whose leases it holds.

    A position moves only after everything before it is in the store, and nothing but the store
    remembers it, so the process may end at any instruction: what it had applied and not recorded
    yet is read again, and changes no row.
    """

    def __init__(
        self,
        client: redis.Redis,
        leases: Leases,
        store: OnlineStore,
        metrics: WorkerMetrics,
        clock: Clock,
        page_events: int = PAGE_EVENTS,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._client, self._leases, self._store = client, leases, store
        self._metrics, self._clock, self._page_events = metrics, clock, page_events
        self._positions: dict[int, LogPosition] = {}
        self._unrecorded: dict[int, LogPosition] = {}
        self._monotonic, self._record_by_s = monotonic, 0.0

    def step(self, block_ms: int | None) -> int:
        """Apply the next page of each partition held; return how many entries were read.

        Waits up to `block_ms` for one to come (None: does not wait). 0 too when no lease is
        held. Raises redis.RedisError when the server is away; stepping again later goes on.
        """
        held = self._leases.tend()
        self._metrics.held.set(len(held))
        self._positions = {
            partition: self._positions.get(partition) or self._store.applied(partition)
            for partition in held
        }
        if not held:
            return 0
        pages = self._next(block_ms)
        for partition in held - pages.keys():
            self._metrics.partition_lag_ms.labels(str(partition)).set(0)
        if pages:
            self._apply(pages)
        return sum(len(page.entries) + len(page.unreadable) for page in pages.values())

    def forget_positions(self) -> None:
        """Start again from what the store says; after an error, when a page may be half done."""
        self._positions, self._unrecorded = {}, {}

    def record(self) -> None:
        """Write down up to where everything is applied. Raises redis.RedisError."""
        if self._unrecorded:
            self._store.advance(self._unrecorded.values())
            self._unrecorded = {}

    def _next(self, block_ms: int | None) -> dict[int, Page]:
        """The next pages; positions are recorded when that is due, or when none comes till then."""
        if self._unrecorded:
            left_ms = int(1_000 * (self._record_by_s - self._monotonic()))
            if left_ms > 0:
                pages = self._read(None if block_ms is None else min(block_ms, left_ms))
                if pages:
                    return pages
            self.record()
        return self._read(block_ms)

    def _read(self, block_ms: int | None) -> dict[int, Page]:
        return read_pages(self._client, self._positions, count=self._page_events, block_ms=block_ms)

    def _apply(self, pages: Mapping[int, Page]) -> None:
        metrics = self._metrics
        for partition, page in pages.items():
            for position in page.unreadable:
                metrics.unreadable.inc()
                _logger.warning("the log entry at %s cannot be decoded: passed over", position)
            if page.entries:
                oldest_us = page.entries[0].event.known_at_us
                lag_ms = max(0, self._clock.now_us() - oldest_us) / 1_000
                metrics.partition_lag_ms.labels(str(partition)).set(lag_ms)
        outcomes = self._store.apply(
            {partition: changes_of(page.entries) for partition, page in pages.items()}
        )
        # Of a backlog each page is recorded at once: it is long, and others wait for its position.
        full = any(len(page.entries) >= self._page_events for page in pages.values())
        if full or not self._unrecorded:
            self._record_by_s = self._monotonic() + (0.0 if full else RECORD_MS / 1_000)
        reached = {partition: page.last for partition, page in pages.items()}
        self._positions |= reached
        self._unrecorded |= reached
        metrics.rows.inc(outcomes.applied)
        metrics.duplicates.inc(outcomes.duplicates)
        metrics.conflicts.inc(outcomes.conflicts)
        now_us = self._clock.now_us()
        for page in pages.values():
            metrics.events.inc(len(page.entries))
            for entry in page.entries:
                metrics.lag_ms.observe(max(0, now_us - entry.event.known_at_us) / 1_000)
