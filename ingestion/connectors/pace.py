"""When to send what: the recorded rhythm, divided by the speed-up. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from nearline.contracts.event import Event

BATCH_EVENTS = 200
BATCH_US = 200_000


@dataclass(frozen=True, slots=True)
class Batch:
    """Events to send together, with how long after the start each is due.

    Offsets never fall, at most 200 ms apart from first to last; `due_us` is the last one's.
    """

    events: tuple[Event, ...]
    rows: tuple[int, ...]
    offsets_us: tuple[int, ...]

    @property
    def due_us(self) -> int:
        return self.offsets_us[-1]


def batches(recorded: Iterable[tuple[int, Event]], speed: float) -> Iterator[Batch]:
    """Batches of a log (row and event, in recorded order) on the clock of the replay.

    The first event is due at once. An event that the log holds too late for its time is due
    together with the one before it.
    """
    first_us: int | None = None
    latest_us = 0
    events: list[Event] = []
    rows: list[int] = []
    offsets: list[int] = []
    for row, event in recorded:
        first_us = event.occurred_at_us if first_us is None else first_us
        latest_us = max(latest_us, round((event.occurred_at_us - first_us) / speed))
        full = len(events) == BATCH_EVENTS
        if events and (full or latest_us - offsets[0] > BATCH_US):
            yield Batch(tuple(events), tuple(rows), tuple(offsets))
            events, rows, offsets = [], [], []
        events.append(event)
        rows.append(row)
        offsets.append(latest_us)
    if events:
        yield Batch(tuple(events), tuple(rows), tuple(offsets))
