"""A shop's log and its items' rows in memory: what a `serving.follow.ItemSource` reads.

It keeps the store's laws and no others: rows only go forward, and up to `applied` they are
complete, so a row may be ahead of that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from nearline.contracts.event import Event
from nearline.contracts.position import LogPosition, partition_of, start_of
from nearline.errors import StoreUnavailable
from nearline.log import Entry, Page
from nearline.online import ItemReading
from nearline.transforms import item
from nearline.transforms.item import ItemState


class ItemShop:
    """`down` makes every read fail; `reads` tells what was read, in order."""

    def __init__(self, partitions: int = 3) -> None:
        self.partitions = partitions
        self.log: dict[int, list[Entry]] = {partition: [] for partition in range(partitions)}
        self.down = False
        self.reads: list[str] = []
        self._rows: dict[str, ItemReading] = {}
        self._applied = [start_of(partition) for partition in range(partitions)]
        self._first_known_us: dict[str, int] = {}
        self._rewritten = 0

    # What a collector, a stream worker and a backfill do.

    def append(self, events: Iterable[Event]) -> None:
        for event in events:
            partition = partition_of(event.customer_id, self.partitions)
            position = LogPosition(partition, 1_000 + len(self.log[partition]), 0)
            self.log[partition].append(Entry(position, event))

    def waiting(self, partition: int) -> list[Entry]:
        """What no row is sure to hold yet."""
        applied = self._applied[partition]
        return [entry for entry in self.log[partition] if entry.position > applied]

    def commit(self, partition: int, entries: Iterable[Entry], only: str | None = None) -> None:
        """Fold entries into the rows of their items, or of one; a second time changes nothing."""
        for entry in entries:
            for item_id, gained in item.states_of(entry.event).items():
                if only not in (None, item_id):
                    continue
                held = self._rows.get(item_id) or ItemReading(item.EMPTY, (None,) * self.partitions)
                at = held.sequences[partition]
                if at is not None and at >= entry.position:
                    continue
                self._first_known_us.setdefault(item_id, entry.event.known_at_us)
                sequences = list(held.sequences)
                sequences[partition] = entry.position
                self._rows[item_id] = ItemReading(held.state + gained, tuple(sequences))

    def advance(self, upto: LogPosition) -> None:
        self._applied[upto.partition] = max(upto, self._applied[upto.partition])

    def work(self, at_most: int | None = None) -> None:
        """Apply what waits, or the next entries of each partition."""
        for partition in range(self.partitions):
            if entries := self.waiting(partition)[:at_most]:
                self.commit(partition, entries)
                self.advance(entries[-1].position)

    def rewrite(self, rows: Mapping[str, ItemReading]) -> None:
        """Put other rows in place, as a backfill does."""
        self._rows |= rows
        self._rewritten += 1

    # What a follower reads.

    async def rewritten(self) -> int:
        self._read("rewritten")
        return self._rewritten

    async def applied(self) -> tuple[LogPosition, ...]:
        self._read("applied")
        return tuple(self._applied)

    async def rows(self, item_ids: Sequence[str]) -> dict[str, ItemReading]:
        self._read("rows")
        return {one: self._rows[one] for one in item_ids if one in self._rows}

    async def newest(self, at_most: int) -> dict[str, int]:
        self._read("newest")
        ordered = sorted(self._first_known_us, key=lambda one: (self._first_known_us[one], one))
        return {one: self._first_known_us[one] for one in ordered[::-1][:at_most]}

    async def first_known_us(self, item_ids: Sequence[str]) -> dict[str, int]:
        self._read("first_known_us")
        known = self._first_known_us
        return {one: known[one] for one in item_ids if one in known}

    async def pages(self, positions: Mapping[int, LogPosition], count: int) -> dict[int, Page]:
        self._read("pages")
        found: dict[int, Page] = {}
        for partition, after in positions.items():
            entries = [one for one in self.log[partition] if one.position > after][:count]
            if entries:
                found[partition] = Page(entries, [], entries[-1].position)
        return found

    def _read(self, what: str) -> None:
        self.reads.append(what)
        if self.down:
            raise StoreUnavailable("memory", "this process", "switched off")

    # What tests compare with.

    def held(self) -> dict[str, ItemState]:
        """Every item's state as its row has it."""
        return {item_id: reading.state for item_id, reading in self._rows.items()}

    def folded(self, item_id: str, upto: Sequence[LogPosition]) -> ItemState:
        """The plain fold of all that the log says of an item up to some positions."""
        events = (
            entry.event
            for partition, entries in self.log.items()
            for entry in entries
            if entry.position <= upto[partition]
        )
        return item.fold(item_id, events)

    def readings(self, item_ids: Iterable[str]) -> dict[str, ItemReading]:
        return {one: self._rows[one] for one in item_ids if one in self._rows}


def items_of(events: Iterable[Event]) -> list[str]:
    """Every item that counts in some event, in order of first mention."""
    return list(dict.fromkeys(name for event in events for name in item.states_of(event)))
