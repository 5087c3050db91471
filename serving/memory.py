"""The feature store in memory: the same contract without Redis, for tests and notebooks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from nearline.contracts.event import Event
from nearline.contracts.position import LogPosition, partition_of
from nearline.errors import StoreUnavailable
from nearline.online import CustomerReading, ItemReading
from nearline.transforms import customer, item
from serving.features import PopularItem


class MemoryFeatures:
    """Folds events with the real transforms; `down` makes every read fail."""

    def __init__(self, partitions: int = 4) -> None:
        self.partitions = partitions
        self.popular_items: tuple[PopularItem, ...] = ()
        self.down = False
        self.items_down = False
        self._customers: dict[str, CustomerReading] = {}
        self._items: dict[str, ItemReading] = {}
        self._first_known_us: dict[str, int] = {}
        self._sequence = 0

    def fold(self, events: Iterable[Event]) -> None:
        """Do to the store what the stream worker does."""
        for event in events:
            self._sequence += 1
            partition = partition_of(event.customer_id, self.partitions)
            held = self._customers.get(event.customer_id, _STRANGER)
            self._customers[event.customer_id] = CustomerReading(
                held.state + customer.state_of(event),
                max(held.known_at_us, event.known_at_us),
                LogPosition(partition, self._sequence, 0),
            )
            for item_id, state in item.states_of(event).items():
                self._first_known_us.setdefault(item_id, event.known_at_us)
                seen = self._items.get(item_id, _UNKNOWN)
                sequences = list(seen.sequences or [None] * self.partitions)
                sequences[partition] = b"%d-0" % self._sequence
                self._items[item_id] = ItemReading(seen.state + state, tuple(sequences))

    async def customer(self, customer_id: str) -> CustomerReading:
        await self.ping()
        return self._customers.get(customer_id, _STRANGER)

    async def items(self, item_ids: Sequence[str]) -> list[ItemReading]:
        await self.ping()
        if self.items_down:
            raise StoreUnavailable("memory", "this process", "switched off for items")
        return [self._items.get(item_id, _UNKNOWN) for item_id in item_ids]

    async def popular(self) -> tuple[PopularItem, ...]:
        await self.ping()
        return self.popular_items

    async def arrivals(self, at_most: int) -> list[str]:
        await self.ping()
        known = self._first_known_us
        return sorted(known, key=lambda name: (known[name], name), reverse=True)[:at_most]

    async def ping(self) -> None:
        if self.down:
            raise StoreUnavailable("memory", "this process", "switched off")


_STRANGER = CustomerReading(customer.EMPTY, 0, None)
_UNKNOWN = ItemReading(item.EMPTY, ())
