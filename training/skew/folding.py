"""States folded from history itself, for the few vectors in which store and offline rows differ.

An answer given while an event was under way differs from what is known of that instant today.
That is delay, not skew, and it can be told apart exactly: the record names the events that each
row was made of. So both sides are folded again, one event at a time and without Feast: what the
store had applied, and what was known.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import pyarrow as pa
import pyarrow.compute as pc

from nearline import history
from nearline.contracts.event import Event
from nearline.contracts.position import LogPosition
from nearline.transforms import customer, item
from nearline.transforms.customer import CustomerState
from nearline.transforms.item import ItemState

State = TypeVar("State", CustomerState, ItemState)


@dataclass(frozen=True, slots=True)
class Happening(Generic[State]):
    """What one event changed in one entity; imported events have no position."""

    known_at_us: int
    position: LogPosition | None
    delta: State


@dataclass(frozen=True, slots=True)
class Folded(Generic[State]):
    """Both states of one reading.

    `delay_us` is how long the oldest event that was not applied had been known, 0 without any.
    """

    applied: State
    known: State
    delay_us: int


def folded(
    happenings: Iterable[Happening[State]], positions: Sequence[str], as_of_us: int, empty: State
) -> Folded[State]:
    """Fold what a row held by its positions, and what was known at the instant."""
    limits = {one.partition: one for one in map(LogPosition.parse, positions)}
    applied, known, oldest_us = empty, empty, as_of_us
    for one in happenings:
        was_known = one.known_at_us <= as_of_us
        limit = limits.get(one.position.partition) if one.position else None
        # What was imported came with the history that the store was built from.
        was_applied = (
            was_known if one.position is None else limit is not None and one.position <= limit
        )
        if was_applied:
            applied = applied + one.delta
        if was_known:
            known = known + one.delta
        if was_known and not was_applied:
            oldest_us = min(oldest_us, one.known_at_us)
    return Folded(applied, known, as_of_us - oldest_us)


@dataclass(frozen=True, slots=True)
class Happenings:
    """Everything that history says of some customers and items."""

    customers: Mapping[str, list[Happening[CustomerState]]]
    items: Mapping[str, list[Happening[ItemState]]]


def read(
    root: Path,
    customer_ids: set[str],
    item_ids: set[str],
    until_us: int,
    progress: Callable[[int], object] = lambda events: None,
) -> Happenings:
    """Read history once for some customers and items, up to an instant (and ten minutes more)."""
    customers: dict[str, list[Happening[CustomerState]]] = {name: [] for name in customer_ids}
    items: dict[str, list[Happening[ItemState]]] = {name: [] for name in item_ids}
    for _, table in history.read_days(root):
        part = _concerning(table.drop_columns(["payload"]), customer_ids, item_ids, until_us)
        places = history.positions_of(part)
        for event, position in zip(history.events_of(part), places, strict=True):
            _add(event, position, customers, items)
        progress(table.num_rows)
    return Happenings(customers, items)


def _add(
    event: Event,
    position: LogPosition | None,
    customers: dict[str, list[Happening[CustomerState]]],
    items: dict[str, list[Happening[ItemState]]],
) -> None:
    if event.customer_id in customers:
        state = customer.state_of(event)
        if state != customer.EMPTY:
            happening = Happening(event.known_at_us, position, state)
            customers[event.customer_id].append(happening)
    for item_id, delta in item.states_of(event).items():
        if item_id in items:
            items[item_id].append(Happening(event.known_at_us, position, delta))


def _concerning(
    table: pa.Table, customer_ids: set[str], item_ids: set[str], until_us: int
) -> pa.Table:
    """The rows of those customers, or with those items; few of many, before they become Python."""
    lines = table["lines"].combine_chunks()
    parents = pc.list_parent_indices(lines)
    named = pc.is_in(pc.struct_field(lines.flatten(), "item_id"), pa.array(sorted(item_ids)))
    rows = pa.array(range(table.num_rows), pa.int64())
    keep = pc.or_(
        pc.is_in(table["customer_id"], pa.array(sorted(customer_ids), pa.string())),
        pa.chunked_array([pc.is_in(rows, parents.filter(named).cast(pa.int64()))]),
    )
    late_us = until_us + _CLOCKS_DIFFER_US
    return table.filter(pc.and_(keep, pc.less_equal(table["known_at_us"], late_us)))


_CLOCKS_DIFFER_US = 600_000_000  # A collector's clock may run ahead of the one that answers.
