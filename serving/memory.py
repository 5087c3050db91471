"""The feature store in memory: the same contract without Redis, for tests and notebooks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from nearline.contracts.event import Event
from nearline.contracts.position import LogPosition, partition_of
from nearline.errors import StoreUnavailable
from nearline.log import Entry
from nearline.online import CustomerReading
from nearline.transforms import customer
from serving.features import PopularItem
from serving.items import ItemTable


class MemoryFeatures:
    """Folds events with the real transforms; `down` makes every read fail."""

    def __init__(self, partitions: int = 4) -> None:
        self.partitions = partitions
        self.popular_items: tuple[PopularItem, ...] = ()
        self.down = False
        self.items = ItemTable(partitions)
        self._customers: dict[str, CustomerReading] = {}
        self._applied: dict[int, LogPosition] = {}
        self._sequence = 0

    def fold(self, events: Iterable[Event]) -> None:
        """Do to the store what the stream worker does."""
        for event in events:
            self._sequence += 1
            partition = partition_of(event.customer_id, self.partitions)
            self._applied[partition] = position = LogPosition(partition, self._sequence, 0)
            gained = customer.state_of(event)
            if gained != customer.EMPTY:
                held = self._customers.get(event.customer_id, _STRANGER)
                known_at_us = max(held.known_at_us, event.known_at_us)
                row = CustomerReading(held.state + gained, known_at_us, position)
                self._customers[event.customer_id] = row
            self.items.apply(partition, [Entry(position, event)], position)

    async def customer(self, customer_id: str) -> CustomerReading:
        await self.ping()
        return self._customers.get(customer_id, _STRANGER)

    async def customers(self, customer_ids: Sequence[str]) -> list[CustomerReading | None]:
        return [await self.customer(one) for one in customer_ids]

    async def position(self, customer_id: str) -> LogPosition | None:
        await self.ping()
        return self._applied.get(partition_of(customer_id, self.partitions))

    async def popular(self) -> tuple[PopularItem, ...]:
        await self.ping()
        return self.popular_items

    async def ping(self) -> None:
        if self.down:
            raise StoreUnavailable("memory", "this process", "switched off")


_STRANGER = CustomerReading(customer.EMPTY, 0, None)
