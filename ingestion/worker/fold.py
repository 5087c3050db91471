"""What a page of events changes, and the rows that come of it. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from nearline.contracts.position import LogPosition
from nearline.feast_layout import CUSTOMER_VIEW, ITEM_VIEW, ViewLayout
from nearline.log import Entry
from nearline.online import Held
from nearline.transforms import customer, item
from nearline.transforms.columns import (
    Columns,
    customer_columns,
    customer_state,
    item_columns,
    item_state,
)
from nearline.transforms.customer import CustomerState
from nearline.transforms.item import ItemState

State = TypeVar("State", CustomerState, ItemState)


@dataclass(frozen=True, slots=True, eq=False)
class View(Generic[State]):
    """One of the two views that the stream keeps: its layout, and its states as rows."""

    layout: ViewLayout
    state_of: Callable[[Mapping[str, Any]], State]
    columns_of: Callable[[State], Columns]


CUSTOMERS: View[CustomerState] = View(CUSTOMER_VIEW, customer_state, customer_columns)
ITEMS: View[ItemState] = View(ITEM_VIEW, item_state, item_columns)


@dataclass(frozen=True, slots=True)
class Change(Generic[State]):
    """What one event adds to one entity."""

    position: LogPosition
    known_at_us: int
    delta: State


@dataclass(frozen=True, slots=True)
class NewRow:
    """A row to commit: it covers its partition up to `upto`."""

    columns: Columns
    known_at_us: int
    upto: LogPosition


Entity = tuple[View[Any], str]
Changes = dict[Entity, list[Change[Any]]]


def changes_of(entries: Iterable[Entry]) -> Changes:
    """What each entity gains from a page, in the order of the log.

    Entities whose events change no feature are absent: they need no row.
    """
    changes: Changes = {}
    for entry in entries:
        event, position = entry.event, entry.position
        gained = customer.state_of(event)
        if gained != customer.EMPTY:
            change = Change(position, event.known_at_us, gained)
            changes.setdefault((CUSTOMERS, event.customer_id), []).append(change)
        for item_id, delta in item.states_of(event).items():
            changes.setdefault((ITEMS, item_id), []).append(
                Change(position, event.known_at_us, delta)
            )
    return changes


def fold(view: View[State], held: Held, changes: Sequence[Change[State]]) -> NewRow | None:
    """The row after these changes; None when what is held has them all.

    Only changes after the held sequence count, so a redelivered page adds nothing. The row's
    instant never goes back, also when a late event was known earlier than the held row.
    """
    fresh = [
        change for change in changes if held.sequence is None or change.position > held.sequence
    ]
    if not fresh:
        return None
    gained = fresh[0].delta
    for change in fresh[1:]:
        gained = gained + change.delta
    state = view.state_of(held.row) + gained
    known_at_us = max(held.known_at_us, *(change.known_at_us for change in fresh))
    return NewRow(view.columns_of(state), known_at_us, fresh[-1].position)


@dataclass(frozen=True, slots=True)
class Part:
    """What one partition's page changes in the row of one entity."""

    partition: int
    view: View[Any]
    entity_id: str
    changes: Sequence[Change[Any]]

    @property
    def key(self) -> bytes:
        return self.view.layout.key(self.entity_id)


def rounds_of(pages: Mapping[int, Changes]) -> list[list[Part]]:
    """All parts of several partitions' pages, no row twice in one round.

    An item has events in every partition, and of two commits of one row read at the same time the
    second is refused.
    """
    rounds: list[list[Part]] = []
    times: Counter[Entity] = Counter()
    for partition, changes in pages.items():
        for (view, entity_id), listed in changes.items():
            number = times[view, entity_id]
            times[view, entity_id] += 1
            if number == len(rounds):
                rounds.append([])
            rounds[number].append(Part(partition, view, entity_id, listed))
    return rounds


def first_known(parts: Iterable[Part]) -> dict[str, int]:
    """When each item among them was first known, as far as their changes tell."""
    return {
        part.entity_id: min(change.known_at_us for change in part.changes)
        for part in parts
        if part.view is ITEMS
    }
