"""A customer's features on the hot path: one HMGET, decoded by hand.

Feast's SDK is the reference, not the path: its per-value work costs milliseconds. The layout
is `nearline.feast_layout`; contract tests hold the two equal. Items are held in memory
(`serving.items`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol, TypeVar

import msgspec
import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from nearline import keys
from nearline.contracts.position import LogPosition, partition_of
from nearline.errors import StoreUnavailable
from nearline.feast_layout import CUSTOMER_VIEW, sequence_field
from nearline.online import CustomerReading, customer_fields, parse_customer

SILENCES, REST_S = 3, 1.0

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PopularItem:
    """An item of the list that answers when no bundle is loaded."""

    item_id: str
    category: str
    price_cents: int


class Features(Protocol):
    """What serving reads.

    Every method raises StoreUnavailable when the store is down or slow, or holds what this
    version cannot read.
    """

    partitions: int  # Of the log; all events of a customer lie in one (`partition_of`).

    async def customer(self, customer_id: str) -> CustomerReading: ...

    async def customers(self, customer_ids: Sequence[str]) -> Sequence[CustomerReading | None]:
        """Several at once, in order; None where a row cannot be read by this version."""

    async def position(self, customer_id: str) -> LogPosition | None:
        """Up to where the store holds a customer's events; None where it holds none."""

    async def popular(self) -> tuple[PopularItem, ...]: ...

    async def ping(self) -> None: ...


class RedisFeatures:
    """The online store, read by hand. One instance per event loop.

    A store that was silent three times running is left alone for a second each time: requests
    that queued up behind its silence would wait longer than anybody does.
    """

    def __init__(
        self,
        client: redis.asyncio.Redis,
        partitions: int,
        timeout_ms: float,
        rest_s: float = REST_S,
    ) -> None:
        self._client = client
        self.partitions = partitions
        self._timeout_s = timeout_ms / 1_000
        self._rest_s = rest_s
        self._silences, self._rests_until_s = 0, 0.0

    async def customer(self, customer_id: str) -> CustomerReading:
        """One customer in one HMGET; a stranger reads as an empty state."""
        partition = partition_of(customer_id, self.partitions)
        key, fields = CUSTOMER_VIEW.key(customer_id), customer_fields(partition)
        reply = await self._within(lambda: self._client.hmget(key, fields))  # type: ignore[arg-type,return-value]
        return _readable(lambda: parse_customer(partition, reply))

    async def customers(self, customer_ids: Sequence[str]) -> Sequence[CustomerReading | None]:
        """Several customers in one pipeline of HMGETs; strangers read as empty states."""
        asked = CustomerRows(customer_ids, self.partitions)
        return asked.read(await self._within(lambda: replies_of(self._client, asked.rows)))

    async def position(self, customer_id: str) -> LogPosition | None:
        """Up to where the store holds a customer's events.

        That of the newest event in its row, or up to where its whole partition is applied: many
        an event, such as `identify` or a page without an item, changes no row.
        """
        partition = partition_of(customer_id, self.partitions)
        key, field = CUSTOMER_VIEW.key(customer_id), sequence_field(partition)
        asked = self._client.pipeline(transaction=False)
        asked.hget(key, field)  # type: ignore[arg-type]
        asked.get(keys.applied(partition))
        held = [one for one in await self._within(asked.execute) if one]
        return _readable(
            lambda: max((LogPosition.of(partition, one) for one in held), default=None)
        )

    async def popular(self) -> tuple[PopularItem, ...]:
        """The popular items that the last backfill wrote, best first; empty where none did."""
        data = await self._within(lambda: self._client.get(keys.FALLBACK_POPULAR))
        return parse_popular(data) if data else ()

    async def ping(self) -> None:
        await self._within(lambda: self._client.ping())  # type: ignore[arg-type,return-value]

    async def _within(self, read: Callable[[], Awaitable[Any]]) -> Any:
        now_s = asyncio.get_running_loop().time
        if self._silences >= SILENCES and now_s() < self._rests_until_s:
            raise StoreUnavailable("Redis", "its address", "silent a moment ago")
        try:
            # Not `wait_for`: in Python 3.11 it costs a task, and may lose a cancellation.
            async with asyncio.timeout(self._timeout_s):
                answer = await read()
        except (RedisError, OSError, TimeoutError) as error:
            if isinstance(error, TimeoutError):
                self._silences, self._rests_until_s = self._silences + 1, now_s() + self._rest_s
            # The address may hold a password, so it is not repeated here.
            raise StoreUnavailable("Redis", "its address", type(error).__name__) from error
        self._silences = 0
        return answer


class CustomerRows:
    """What to ask of several customers (`rows`, for `replies_of`), and what the replies say."""

    def __init__(self, customer_ids: Sequence[str], partitions: int) -> None:
        self._owners = [partition_of(one, partitions) for one in customer_ids]
        self.rows = [
            (CUSTOMER_VIEW.key(customer_id), customer_fields(owner))
            for customer_id, owner in zip(customer_ids, self._owners, strict=True)
        ]

    def read(self, replies: Sequence[Any]) -> list[CustomerReading | None]:
        """In order; a stranger reads as an empty state, None is what cannot be read."""
        return [
            readable_or_none(partial(parse_customer, owner, reply))
            for owner, reply in zip(self._owners, replies, strict=True)
        ]


def replies_of(client: Any, rows: Iterable[tuple[bytes, list[bytes]]]) -> Any:
    """The replies to HMGETs of keys and fields in one pipeline; a client of asyncio's: awaitable.

    A key that holds something else answers with an error, which must not be everybody's: it
    stands in its place, where `readable_or_none` makes nothing of it.
    """
    asked = client.pipeline(transaction=False)
    for key, fields in rows:
        asked.hmget(key, fields)
    return asked.execute(raise_on_error=False)


def _readable(parse: Callable[[], T]) -> T:
    """What a reply means. A row that nobody expected must not stop an answer: its fallback does."""
    try:
        return parse()
    except Exception as error:  # noqa: BLE001 - whatever a broken row, or one of another version, raises
        # The error may quote the row, which is personal: only its kind goes on.
        kind = type(error).__name__
        raise StoreUnavailable("Redis", "its address", f"an unreadable row: {kind}") from None


def readable_or_none(parse: Callable[[], T]) -> T | None:
    """Of many rows, one that cannot be read does not make the others fail."""
    try:
        return _readable(parse)
    except StoreUnavailable:
        return None


def connect(url: str) -> redis.asyncio.Redis:
    """A client for the hot path: one silent retry (a server that restarted), no waiting.

    It has no limit of time, so whoever uses it sets one: a limit of the socket inside that one
    takes the cancellation of some reads, which then wait for it.
    """
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
