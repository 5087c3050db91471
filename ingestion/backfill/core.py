"""An ordered history folded into states, by the same functions as the stream. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, TypeVar

from nearline.contracts.event import Event
from nearline.contracts.position import LogPosition
from nearline.transforms import customer, item
from nearline.transforms.customer import CustomerState
from nearline.transforms.item import ItemState

State = TypeVar("State", CustomerState, ItemState)


@dataclass(slots=True)
class Folded(Generic[State]):
    """One entity so far: its state, when its events were known, and which log it covers.

    `sequences` holds the newest position of each partition that changed the entity; imported
    events have none.
    """

    state: State
    known_at_us: int = 0  # of its newest event
    first_known_us: int = 0
    sequences: dict[int, LogPosition] = field(default_factory=dict)

    def add(self, delta: State, known_at_us: int, position: LogPosition | None) -> None:
        self.state = self.state + delta
        self.known_at_us = max(self.known_at_us, known_at_us)
        self.first_known_us = min(self.first_known_us or known_at_us, known_at_us)
        if position is not None:
            newest = self.sequences.get(position.partition, position)
            self.sequences[position.partition] = max(newest, position)


@dataclass(slots=True)
class Replay:
    """Every customer's and item's state after the events added so far, in any order."""

    customers: dict[str, Folded[CustomerState]] = field(default_factory=dict)
    items: dict[str, Folded[ItemState]] = field(default_factory=dict)
    events: int = 0

    def add(self, event: Event, position: LogPosition | None) -> None:
        """Add one event; `position` is None for imported history."""
        self.events += 1
        gained = customer.state_of(event)
        if gained != customer.EMPTY:
            whose = self.customers.get(event.customer_id)
            if whose is None:
                whose = self.customers[event.customer_id] = Folded(customer.EMPTY)
            whose.add(gained, event.known_at_us, position)
        for item_id, delta in item.states_of(event).items():
            which = self.items.get(item_id)
            if which is None:
                which = self.items[item_id] = Folded(item.EMPTY)
            which.add(delta, event.known_at_us, position)
