"""What has been read and not yet written, and how it is cut into files. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from nearline.contracts.position import LogPosition
from nearline.history import day_of
from nearline.log import Entry, Page


@dataclass(frozen=True, slots=True)
class Limits:
    """When to write. The bytes bound the memory of events with large payloads."""

    age_s: float
    events: int
    payload_bytes: int = 64 * 2**20


@dataclass(slots=True)
class Buffer:
    """Events of some partitions that wait for their files."""

    limits: Limits
    entries: dict[int, list[Entry]] = field(default_factory=dict)
    reached: dict[int, LogPosition] = field(default_factory=dict)  # Read up to here.
    events: int = 0
    payload_bytes: int = 0
    oldest_us: int = 0  # When the first of them was added; 0 while empty.

    def add(self, partition: int, page: Page, now_us: int) -> None:
        """Keep a page until it is written."""
        self.reached[partition] = page.last
        if page.entries:
            self.entries.setdefault(partition, []).extend(page.entries)
            self.events += len(page.entries)
            self.payload_bytes += sum(len(entry.event.payload) for entry in page.entries)
            self.oldest_us = self.oldest_us or now_us

    def is_due(self, now_us: int) -> bool:
        """Whether one of the limits is reached."""
        return bool(self.events) and (
            self.events >= self.limits.events
            or self.payload_bytes >= self.limits.payload_bytes
            # A clock that is set back must not make them wait until it has caught up.
            or not 0 <= now_us - self.oldest_us < self.limits.age_s * 1_000_000
        )

    def forget(self, partition: int) -> None:
        """Drop what is not written of a partition; it will be read again from the log."""
        dropped = self.entries.pop(partition, [])
        self.reached.pop(partition, None)
        self.events -= len(dropped)
        self.payload_bytes -= sum(len(entry.event.payload) for entry in dropped)
        if not self.events:
            self.oldest_us = 0

    def clear(self, partition: int) -> None:
        """Everything of a partition is written; what was reached stays."""
        reached = self.reached[partition]
        self.forget(partition)
        self.reached[partition] = reached


def cut_by_day(entries: Sequence[Entry]) -> Iterator[tuple[str, list[Entry]]]:
    """Runs of neighbours of one day, in the order of the log.

    Not one file for each day: events of two days may alternate around midnight, and files
    must be contiguous in the log, or a restart after the first would pass over the second.
    """
    for day, run in groupby(entries, key=lambda entry: day_of(entry.event)):
        yield day, list(run)
