"""A recorded log, sent to the live collector in its own rhythm."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from ingestion.connectors.convert import Converter, RowRefused
from ingestion.connectors.delivery import Delivery
from ingestion.connectors.pace import Batch, batches
from ingestion.connectors.rows import Row
from ingestion.connectors.wire import message_of
from nearline.client import messages
from nearline.clock import Clock
from nearline.contracts.event import Event


@dataclass(slots=True)
class Progress:
    """How far a replay is. `lag_ms` is how late the newest batch was sent."""

    sent: int = 0
    next_row: int = 1
    unreadable: int = 0
    ignored: int = 0
    lag_ms: float = 0.0
    largest_lag_ms: float = 0.0


class Replay:
    """Sends batches when they are due. `wait(s)` waits, and says whether to stop."""

    def __init__(
        self,
        delivery: Delivery,
        clock: Clock,
        wait: Callable[[float], bool],
        *,
        run: str,
        on_batch: Callable[[Progress], None] = lambda progress: None,
    ) -> None:
        self._delivery, self._clock, self._wait = delivery, clock, wait
        self._run, self._on_batch = run, on_batch
        self.progress = Progress()

    def play(
        self,
        rows: Iterable[Row],
        converter: Converter,
        *,
        speed: float,
        limit: int | None = None,
    ) -> bool:
        """Send rows in the recorded rhythm; True when all (or `limit` events) were sent.

        Each event occurs when it is sent, batch mates keeping their distance. When the
        collector holds us up, what is overdue follows at once.
        """
        start_us, before_us = self._clock.now_us(), 0
        for batch in batches(self._events(rows, converter, limit), speed):
            left_us = start_us + batch.due_us - self._clock.now_us()
            # Not longer than the recorded distance, also where the clock has been set back.
            if self._wait(min(max(0, left_us), batch.due_us - before_us) / 1e6):
                return False
            before_us = batch.due_us
            now_us = self._clock.now_us()
            if not self._delivery.send(self._encoded(batch, now_us)):
                return False
            self._count(batch, (now_us - start_us - batch.due_us) / 1e3)
        return True

    def _encoded(self, batch: Batch, now_us: int) -> list[bytes]:
        return [
            messages.encode(
                message_of(
                    event,
                    message_id=f"{self._run}-{row}",
                    at_us=now_us - (batch.due_us - offset_us),
                )
            )
            for event, row, offset_us in zip(
                batch.events, batch.rows, batch.offsets_us, strict=True
            )
        ]

    def _events(
        self, rows: Iterable[Row], converter: Converter, limit: int | None
    ) -> Iterator[tuple[int, Event]]:
        taken = 0
        for row in rows:
            if limit is not None and taken >= limit:
                return
            try:
                event = converter(row)
            except RowRefused:
                self.progress.unreadable += 1
                continue
            if event is None:
                self.progress.ignored += 1
                continue
            taken += 1
            yield row.number, event

    def _count(self, batch: Batch, lag_ms: float) -> None:
        progress = self.progress
        progress.sent += len(batch.events)
        progress.next_row = batch.rows[-1] + 1
        progress.lag_ms = max(0.0, lag_ms)
        progress.largest_lag_ms = max(progress.largest_lag_ms, lag_ms)
        self._on_batch(progress)
