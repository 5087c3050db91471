"""The backfill's steps: take the partitions, read history and log, fold, write, hand over."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from ingestion.backfill.core import Replay
from ingestion.backfill.popular import popular
from ingestion.backfill.store import OvertakenBackfill, replace_rows
from ingestion.worker.app import name_of
from ingestion.worker.fold import CUSTOMERS, ITEMS
from ingestion.worker.lease import Leases
from ingestion.worker.store import OnlineStore
from nearline import arrivals, keys
from nearline.contracts.position import LogPosition, start_of
from nearline.errors import PermanentError, TransientError
from nearline.history import Snapshot, events_of, positions_of, read_days, rows_in, snapshot
from nearline.log import Page, read_pages

_EVENTS_BETWEEN_RENEWALS = 2_000
_PAGE_EVENTS = 5_000
_ARRIVALS_AT_ONCE = 5_000

Step = Callable[[str, int, int], None]  # what, done, of how many


class PartitionsTaken(TransientError):
    """Somebody works on partitions that the backfill needs for itself."""

    def __init__(self, partitions: list[int], who: str) -> None:
        self.partitions, self.who = partitions, who
        super().__init__(
            f"partition(s) {', '.join(map(str, partitions))} are worked on by {who}, and a "
            "backfill needs all of them for itself. Stop it (Ctrl-C where it runs), then run "
            "`nearline backfill` again; a worker that was killed on another machine is "
            "forgotten after 6 s."
        )


class HistoryMissing(PermanentError):
    """History ends before a position that it held once."""

    def __init__(self, root: Path, partition: int, found: LogPosition, once: str) -> None:
        self.root, self.partition, self.found, self.once = root, partition, found, once
        super().__init__(
            f"history in {root} ends at {found.stream_id} in partition {partition}, but it "
            f"reached {once} before, and the log may no longer hold what lies between. A "
            "backfill now would forget those events: point NEARLINE_HOME at the folder that has "
            "them, or restore the missing files."
        )


@dataclass(frozen=True, slots=True)
class Report:
    """What a backfill did."""

    events: int
    customers: int
    items: int
    seconds: float


class Backfill:
    """One run over all history and the log behind it. Safe to kill and to run again.

    Rows only go forward: each is replaced by one that covers at least as much of the log, and
    the worker's position moves last. So at any moment the store is exact for what it says it
    covers.
    """

    def __init__(
        self, client: redis.Redis, leases: Leases, root: Path, partitions: int, step: Step
    ) -> None:
        self._client, self._leases, self._root = client, leases, root
        self._partitions, self._step = partitions, step
        self._store = OnlineStore(client)

    def run(self) -> Report:
        """Fold everything and write it; raises PartitionsTaken, HistoryMissing and the like."""
        started = time.monotonic()
        self._hold()
        held = snapshot(self._root)
        self._refuse_gaps(held)
        replay = Replay()
        self._fold_history(replay, held)
        upto = self._fold_log(replay, held)
        self._write(replay, upto)
        self._record_arrivals(replay)
        # Whoever follows loads rows and arrivals anew on this word, once: so both must be there.
        self._client.incr(keys.ITEMS_REWRITTEN)
        self._client.set(
            keys.FALLBACK_POPULAR,
            popular((item_id, folded.state) for item_id, folded in replay.items.items()),
        )
        self._store.advance(one for one in upto if one != start_of(one.partition))
        seconds = time.monotonic() - started
        return Report(replay.events, len(replay.customers), len(replay.items), seconds)

    def _hold(self) -> None:
        """Hold every partition, or refuse. While held, nothing is trimmed from the log."""
        held = self._leases.tend(now=True)
        if len(held) < self._partitions:
            others = self._leases.others
            who = ", ".join(sorted({name_of(other) for other in others.values()}))
            raise PartitionsTaken(sorted(others), who or "another process")

    def _still_hold(self) -> None:
        if len(self._leases.tend()) < self._partitions:
            raise OvertakenBackfill(CUSTOMERS.layout.view)

    def _refuse_gaps(self, held: Snapshot) -> None:
        for partition in range(self._partitions):
            found = held.positions.get(partition, start_of(partition))
            once: Any = self._client.get(keys.archived(partition))
            if once and LogPosition.of(partition, once) > found:
                raise HistoryMissing(self._root, partition, found, once.decode())

    def _fold_history(self, replay: Replay, held: Snapshot) -> None:
        total = sum(map(rows_in, held.files))
        for _, table in read_days(self._root, held):
            # No feature reads the payload, and it is by far the widest column.
            lean = table.drop_columns(["payload"])
            for start in range(0, lean.num_rows, _EVENTS_BETWEEN_RENEWALS):
                part = lean.slice(start, _EVENTS_BETWEEN_RENEWALS)
                for event, position in zip(events_of(part), positions_of(part), strict=True):
                    replay.add(event, position)
                self._still_hold()
                self._step("history", replay.events, total)

    def _fold_log(self, replay: Replay, held: Snapshot) -> list[LogPosition]:
        """Fold what history does not hold yet; return where the log ended, by partition."""
        ends: list[LogPosition] = []
        before = replay.events
        for partition in range(self._partitions):
            end = held.positions.get(partition, start_of(partition))
            for page in self._pages_after(end):
                for entry in page.entries:
                    replay.add(entry.event, entry.position)
                end = page.last
                self._step("log", replay.events - before, replay.events - before)
            ends.append(end)
        # Only now is it certain that nothing was trimmed under our eyes.
        self._still_hold()
        return ends

    def _record_arrivals(self, replay: Replay) -> None:
        """The newest items of all, as the stream would have recorded them."""
        known = {item_id: folded.first_known_us for item_id, folded in replay.items.items()}
        oldest_us = max(known.values(), default=0) - arrivals.KEPT_US
        newest = heapq.nlargest(
            arrivals.KEPT_ITEMS,
            (item_id for item_id, at_us in known.items() if at_us > oldest_us),
            key=lambda item_id: known[item_id],
        )
        for start in range(0, len(newest), _ARRIVALS_AT_ONCE):
            part = newest[start : start + _ARRIVALS_AT_ONCE]
            with self._client.pipeline(transaction=False) as pipeline:
                arrivals.record(pipeline, {item_id: known[item_id] for item_id in part})
                pipeline.execute()

    def _pages_after(self, position: LogPosition) -> Iterator[Page]:
        partition = position.partition
        while page := read_pages(
            self._client, {partition: position}, count=_PAGE_EVENTS, block_ms=None
        ).get(partition):
            yield page
            position = page.last
            self._still_hold()

    def _write(self, replay: Replay, upto: list[LogPosition]) -> None:
        total, done = len(replay.customers) + len(replay.items), 0
        for view, rows in ((CUSTOMERS, replay.customers), (ITEMS, replay.items)):
            for written in replace_rows(self._client, view, rows.items(), upto):
                done += written
                self._step("rows", done, total)
                self._still_hold()
