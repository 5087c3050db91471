"""Features on the hot path: one read for the customer, one for all candidates.

Feast's SDK is the reference, not the path: its per-value work costs milliseconds (measured:
200 items in 10 ms). The layout is `nearline.feast_layout`; contract tests hold the two equal.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from nearline import keys
from nearline.contracts.position import partition_of
from nearline.errors import StoreUnavailable
from nearline.feast_layout import CUSTOMER_VIEW, ITEM_VIEW
from nearline.online import CustomerReading, customer_fields, parse_customer, parse_item
from nearline.transforms.item import ItemState


@dataclass(frozen=True, slots=True)
class PopularItem:
    """An item of the list that answers when no bundle is loaded."""

    item_id: str
    category: str
    price_cents: int


class Features(Protocol):
    """What serving reads. Every method raises StoreUnavailable when the store is down or slow."""

    async def customer(self, customer_id: str) -> CustomerReading: ...

    async def items(self, item_ids: Sequence[str]) -> list[ItemState]: ...

    async def popular(self) -> tuple[PopularItem, ...]: ...

    async def ping(self) -> None: ...


class RedisFeatures:
    """The online store, read by hand. One instance per event loop."""

    def __init__(self, client: redis.asyncio.Redis, partitions: int, timeout_ms: float) -> None:
        self._client = client
        self._partitions = partitions
        self._timeout_s = timeout_ms / 1_000

    async def customer(self, customer_id: str) -> CustomerReading:
        """One customer in one HMGET; a stranger reads as an empty state."""
        partition = partition_of(customer_id, self._partitions)
        reply: Any = await self._within(
            self._client.hmget(CUSTOMER_VIEW.key(customer_id), customer_fields(partition))  # type: ignore[arg-type]
        )
        return parse_customer(partition, reply)

    async def items(self, item_ids: Sequence[str]) -> list[ItemState]:
        """The states of many items in one round trip, in step with `item_ids`."""
        if not item_ids:
            return []
        pipeline = self._client.pipeline(transaction=False)
        for item_id in item_ids:
            pipeline.hmget(ITEM_VIEW.key(item_id), ITEM_VIEW.read_fields)  # type: ignore[arg-type]
        replies: list[Any] = await self._within(pipeline.execute())
        return [parse_item(reply) for reply in replies]

    async def popular(self) -> tuple[PopularItem, ...]:
        """The popular items that the last backfill wrote, best first; empty where none did."""
        data: Any = await self._within(self._client.get(keys.FALLBACK_POPULAR))
        return parse_popular(data) if data else ()

    async def ping(self) -> None:
        await self._within(self._client.ping())

    async def _within(self, reading: Any) -> Any:
        try:
            return await asyncio.wait_for(reading, self._timeout_s)
        except (RedisError, OSError, TimeoutError) as error:
            # The address may hold a password, so it is not repeated here.
            raise StoreUnavailable("Redis", "its address", type(error).__name__) from error


def connect(url: str) -> redis.asyncio.Redis:
    """A client for the hot path: one silent retry (a server that restarted), no waiting."""
    return redis.asyncio.Redis.from_url(
        url, retry=Retry(NoBackoff(), 1), max_connections=256, socket_keepalive=True
    )


def parse_popular(data: bytes) -> tuple[PopularItem, ...]:
    """Decode `[[item_id, category, price_cents], ...]`; what is not that reads as nothing."""
    try:
        rows = msgspec.json.decode(data, type=list[tuple[str, str, int]])
    except (msgspec.ValidationError, msgspec.DecodeError):
        return ()
    return tuple(PopularItem(*row) for row in rows)
