"""The items' states in memory, as of exact positions on the log. No I/O.

An answer reads 200 items; from Redis that costs more than all the rest of it. So a replica
holds every item's row and adds what the log says (`serving.follow`): by the law of states that
add, the result is what the stream worker writes, and `positions` name every event in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from nearline.contracts.event import Event
from nearline.contracts.position import LogPosition, start_of
from nearline.log import Entry
from nearline.online import ItemReading
from nearline.transforms import item
from nearline.transforms.buckets import DAY_US, MINUTES, TIERS
from nearline.transforms.item import ITEM_FEATURES, ItemState
from nearline.transforms.item_facts import UNKNOWN_FACTS, ItemFacts, facts_of
from nearline.transforms.taste import ARRIVALS_AT_MOST

# Axes: C items asked about, I item features.
FloatCI = npt.NDArray[np.float64]

ARRIVAL_US = 30 * DAY_US  # An item first known so long before the newest one is no arrival.
_AGE = ITEM_FEATURES.index("age_days")
_PARTS_AT_MOST = 50_000  # Some 6 MB: what many items of a shop have in common is far less.
_STALE, _ALWAYS = -1, -2  # Instead of the minute for which an item's windows were finished.


class ItemTable:
    """States of items, each in a slot that never moves.

    A row read from the store may be ahead of `positions`; its guard then keeps events that it
    holds already from being added again. `exact` is whether no row is ahead.
    """

    def __init__(self, partitions: int) -> None:
        self.positions: tuple[LogPosition, ...] = tuple(map(start_of, range(partitions)))
        self.arrivals: tuple[str, ...] = ()
        self.changes = 0  # Grows whenever an arrival came, or its price or category changed.
        self._slot_of: dict[str, int] = {}
        self._states: list[ItemState] = []
        self._told: list[tuple[int, ItemFacts]] = []  # in step: price and facts
        self._parts: dict[object, Any] = {}
        self._guards: dict[int, tuple[LogPosition | None, ...]] = {}
        self._first_known_us: dict[str, int] = {}
        self._values: FloatCI = np.empty((0, len(ITEM_FEATURES)))
        self._first_seen_us = np.empty(0, np.int64)
        self._minutes = np.empty(0, np.int64)

    def __len__(self) -> int:
        return len(self._states)

    def __contains__(self, item_id: str) -> bool:
        return item_id in self._slot_of

    @property
    def exact(self) -> bool:
        return not self._guards

    def state(self, item_id: str) -> ItemState:
        """What is known of an item; EMPTY for one that nobody has named."""
        slot = self._slot_of.get(item_id)
        return item.EMPTY if slot is None else self._states[slot]

    def states(self, item_ids: Iterable[str]) -> list[ItemState]:
        return [self.state(item_id) for item_id in item_ids]

    def facts(self, item_id: str) -> ItemFacts:
        """What the shop states of an item."""
        slot = self._slot_of.get(item_id)
        return UNKNOWN_FACTS if slot is None else self._told[slot][1]

    def told(self, item_ids: Iterable[str]) -> list[tuple[int, ItemFacts]]:
        """The newest price in cents (0 where unknown) and the facts of each item."""
        slot_of, told = self._slot_of, self._told
        return [told[slot_of[item_id]] if item_id in slot_of else _UNTOLD for item_id in item_ids]

    def rows(self, item_ids: Sequence[str], as_of_us: int) -> FloatCI:
        """`transforms.ranking.item_rows` of the items, bit for bit.

        Windows change by the minute, so an item that is asked for again within one is not
        finished again; its age, which flows, is.
        """
        slots = np.fromiter(
            (self._slot_of.get(item_id, -1) for item_id in item_ids), np.int64, len(item_ids)
        )
        minute = MINUTES.index_of(as_of_us)
        finished = self._minutes[slots] if len(self._states) else slots
        for slot in slots[(finished != minute) & (finished != _ALWAYS) & (slots >= 0)].tolist():
            state = self._states[slot]
            self._values[slot] = list(item.finish(state, as_of_us).values())
            self._minutes[slot] = minute if state.quarter_day_buckets else _ALWAYS
        if not len(self._states):
            return np.tile(_NOBODY, (len(slots), 1))
        rows = self._values[slots]
        first_us = self._first_seen_us[slots]
        rows[:, _AGE] = np.where(first_us > 0, np.maximum(as_of_us - first_us, 0) / DAY_US, np.nan)
        rows[slots < 0] = _NOBODY
        return rows

    def load(
        self, readings: Mapping[str, ItemReading], first_known_us: Mapping[str, int] | None = None
    ) -> None:
        """Take rows as the store holds them, in place of what was held of those items."""
        if len(self._parts) > _PARTS_AT_MOST:
            self._parts = {}
        for item_id, reading in readings.items():
            slot = self._slot(item_id)
            self._put(slot, _sharing(reading.state, self._parts))
            self._guards.pop(slot, None)
            if self._ahead(reading.sequences):
                self._guards[slot] = reading.sequences
        self._first_known_us |= first_known_us or {}
        self._name_arrivals()

    def start(self, positions: Sequence[LogPosition]) -> None:
        """Say up to where the rows that will be loaded are complete."""
        self.positions = tuple(positions)

    def unknown(self, entries: Iterable[Entry]) -> list[str]:
        """Items that these events name and the table lacks: to be loaded before `apply`."""
        found: dict[str, None] = {}
        for entry in entries:
            if _concerns_items(entry.event):
                found |= dict.fromkeys(
                    line.item_id for line in entry.event.lines if line.item_id not in self._slot_of
                )
        return list(found)

    def apply(self, partition: int, entries: Sequence[Entry], last: LogPosition) -> None:
        """Add a gapless stretch of one partition, up to and including `last`."""
        arrived = False
        for entry in entries:
            for item_id, gained in item.states_of(entry.event).items():
                slot = self._slot_of.get(item_id)
                if slot is None:
                    slot = self._slot(item_id)
                    self._first_known_us[item_id] = entry.event.known_at_us
                    arrived = True
                guard = self._guards.get(slot)
                held = guard[partition] if guard else None
                if held is None or entry.position > held:
                    before = self._states[slot]
                    after = before + gained
                    self._put(slot, after)
                    if item_id in self._first_known_us and _told(before) != _told(after):
                        self.changes += 1
        positions = list(self.positions)
        positions[partition] = last
        self.positions = tuple(positions)
        if self._guards:
            self._guards = {s: guard for s, guard in self._guards.items() if self._ahead(guard)}
        if arrived:
            self._name_arrivals()

    def _ahead(self, guard: Sequence[LogPosition | None]) -> bool:
        return any(
            held is not None and held > at for held, at in zip(guard, self.positions, strict=True)
        )

    def _slot(self, item_id: str) -> int:
        slot = self._slot_of.get(item_id)
        if slot is None:
            slot = self._slot_of[item_id] = len(self._states)
            self._states.append(item.EMPTY)
            self._told.append(_UNTOLD)
            if slot >= len(self._minutes):
                self._grow(max(1_024, 2 * slot))
        return slot

    def _put(self, slot: int, state: ItemState) -> None:
        before, self._states[slot] = self._states[slot], state
        price_cents, facts = self._told[slot]
        if state.price_cents != price_cents or state.facts != before.facts:
            facts = facts if state.facts == before.facts else facts_of(state.facts)
            self._told[slot] = (state.price_cents, facts)
        self._first_seen_us[slot] = state.first_seen_us
        self._minutes[slot] = _STALE

    def _grow(self, size: int) -> None:
        held = len(self._minutes)
        values = np.empty((size, len(ITEM_FEATURES)))
        values[:held] = self._values
        self._values = values
        self._first_seen_us = np.append(self._first_seen_us, np.zeros(size - held, np.int64))
        self._minutes = np.append(self._minutes, np.full(size - held, _STALE))

    def _name_arrivals(self) -> None:
        """The newest items, newest first: the same whatever order they were heard of in.

        What is not among them now never will be again, so it need not be sorted again.
        """
        known = self._first_known_us
        since_us = max(known.values(), default=0) - ARRIVAL_US
        order = sorted(
            ((at_us, item_id) for item_id, at_us in known.items() if at_us >= since_us),
            reverse=True,
        )[:ARRIVALS_AT_MOST]
        self._first_known_us = {item_id: at_us for at_us, item_id in order}
        self.arrivals = tuple(self._first_known_us)
        self.changes += 1


def _sharing(state: ItemState, held: dict[object, Any]) -> ItemState:
    """The state, with those of its parts that equal others' in place of its own.

    Items of one shop have most of their buckets in common ("one look, that quarter of a day"):
    shared, they take a quarter of the memory (docs/benchmarks/growth.md).
    """

    def shared(part: Any) -> Any:
        return held.setdefault(part, part)

    parts: dict[str, Any] = {
        tier.name: tuple(map(shared, getattr(state, tier.name))) for tier in TIERS
    }
    return replace(state, category=shared(state.category), facts=shared(state.facts), **parts)


def _concerns_items(event: Event) -> bool:
    return bool(item.states_of(event))


def _told(state: ItemState) -> tuple[object, ...]:
    """What a shop says of an item, which shapes how it is found."""
    return state.price_cents, state.category


_UNTOLD = (0, UNKNOWN_FACTS)
_NOBODY = np.array(list(item.finish(item.EMPTY, 0).values()))
