"""States folded one event at a time, without a feature store; honest, or with a leak planted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from nearline.contracts.event import Event
from nearline.transforms import customer, item
from nearline.transforms.customer import CustomerState
from nearline.transforms.item import ItemState


def was_known(event: Event, as_of_us: int) -> bool:
    return event.known_at_us <= as_of_us


@dataclass(frozen=True)
class NaiveStates:
    """What was known at an instant, or whatever `sees` lets through."""

    events: Sequence[Event]
    sees: Callable[[Event, int], bool] = was_known

    def customers(self, ids: Sequence[str], as_of_us: Sequence[int]) -> list[CustomerState]:
        by_customer: dict[str, list[Event]] = {}
        for event in self.events:
            by_customer.setdefault(event.customer_id, []).append(event)
        return [
            customer.fold(event for event in by_customer.get(who, []) if self.sees(event, at_us))
            for who, at_us in zip(ids, as_of_us, strict=True)
        ]

    def items(self, ids: Sequence[str], as_of_us: Sequence[int]) -> list[ItemState]:
        by_item: dict[str, list[Event]] = {}
        for event in self.events:
            for line in event.lines:
                by_item.setdefault(line.item_id, []).append(event)
        made: dict[tuple[str, int], ItemState] = {}
        for what, at_us in zip(ids, as_of_us, strict=True):
            if (what, at_us) not in made:
                seen = [one for one in by_item.get(what, []) if self.sees(one, at_us)]
                made[what, at_us] = item.fold(what, seen)
        return [made[pair] for pair in zip(ids, as_of_us, strict=True)]
