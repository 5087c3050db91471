"""Keeps an item table as new as the log: loads what a bundle knows, then adds what happens."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

import redis.asyncio
from redis.exceptions import RedisError

from nearline import keys
from nearline.contracts.position import LogPosition, start_of
from nearline.errors import StoreUnavailable
from nearline.feast_layout import ITEM_VIEW
from nearline.log import Page, read_pages_now
from nearline.online import ItemReading, item_fields, parse_item_reading
from nearline.transforms.taste import ARRIVALS_AT_MOST
from serving.features import readable_or_none, replies_of
from serving.items import ItemTable

ROWS_AT_ONCE = 200  # Some 8 ms of parsing: answers wait no longer than that.
PAGE_EVENTS, SLICE_EVENTS = 500, 50
_WAITS, _WAIT_S = 20, 0.005

logger = logging.getLogger(__name__)


class ItemSource(Protocol):
    """Where rows and events come from. Every method raises StoreUnavailable."""

    async def rewritten(self) -> int:
        """How often all rows were rewritten without the log saying so."""

    async def applied(self) -> tuple[LogPosition, ...]:
        """For each partition, up to where its events are in the rows for certain."""

    async def rows(self, item_ids: Sequence[str]) -> dict[str, ItemReading]:
        """The rows that are there."""

    async def newest(self, at_most: int) -> dict[str, int]:
        """The newest items, and when each was first known (us)."""

    async def first_known_us(self, item_ids: Sequence[str]) -> dict[str, int]:
        """When each was first known, of those that came in the last 30 days."""

    async def pages(self, positions: Mapping[int, LogPosition], count: int) -> dict[int, Page]:
        """What follows on the log."""


class Follower:
    """One table of one process. `wanted` names the items that it must hold, whatever happens.

    Nothing here runs by itself: whoever owns the loop calls `step` again and again. One call
    works at a time, and the others wait: two that read the same page would add it twice.
    """

    def __init__(
        self, source: ItemSource, partitions: int, wanted: Callable[[], Iterable[str]]
    ) -> None:
        self._source, self._partitions, self._wanted = source, partitions, wanted
        self._rewritten, self._owes = -1, False
        self._one_at_a_time = asyncio.Lock()
        self.table = ItemTable(partitions)
        self.loaded = False
        self.looked_at_s = float("-inf")  # The loop's clock when the log was last read.

    async def step(self) -> None:
        """Load the table if that must be, then add what happened since; raises StoreUnavailable."""
        async with self._one_at_a_time:
            rewritten = await self._source.rewritten()
            if rewritten != self._rewritten:
                self.table = await self._fresh()
                self.loaded, self._rewritten, self._owes = True, rewritten, False
            elif self._owes:
                await self._load(self.table, self._wanted())
                self._owes = False
            await self._catch_up(self.table)
        self.looked_at_s = asyncio.get_running_loop().time()

    async def hold(self, item_ids: Iterable[str]) -> None:
        """Have these items in the table before this returns; raises StoreUnavailable.

        Then the next `step` has those that are wanted by then.
        """
        async with self._one_at_a_time:
            if self.loaded:
                self._owes = True
                await self._load(self.table, item_ids)
                self._owes = False
                await self._catch_up(self.table)

    async def _fresh(self) -> ItemTable:
        table = ItemTable(self._partitions)
        table.start(await self._source.applied())
        newest = await self._source.newest(ARRIVALS_AT_MOST)
        await self._load(table, newest, newest)
        await self._load(table, self._wanted())
        await self._catch_up(table)
        return table

    async def _load(
        self,
        table: ItemTable,
        item_ids: Iterable[str],
        first_known_us: Mapping[str, int] | None = None,
    ) -> None:
        missing = [item_id for item_id in item_ids if item_id not in table]
        for start in range(0, len(missing), ROWS_AT_ONCE):
            found = await self._source.rows(missing[start : start + ROWS_AT_ONCE])
            known = first_known_us or {}
            table.load(found, {name: known[name] for name in found if name in known})
            await asyncio.sleep(0)

    async def _catch_up(self, table: ItemTable) -> None:
        """Go on to where the rows in the store are complete, and no further.

        So a row that is loaded later can be ahead of the table, which its guard mends, but
        never behind it.
        """
        waits = 0
        while waits < _WAITS:
            upto = await self._source.applied()
            behind = {p: at for p, at in enumerate(table.positions) if at < upto[p]}
            if behind:
                pages = await self._source.pages(behind, PAGE_EVENTS)
                for partition in behind:
                    page = pages.get(partition) or Page([], [], upto[partition])
                    await self._add(table, partition, _until(page, upto[partition]))
            elif table.exact:
                return
            else:  # A row was read between its commit and the position's, some 20 ms later.
                waits += 1
                await asyncio.sleep(_WAIT_S)

    async def _add(self, table: ItemTable, partition: int, page: Page) -> None:
        """In slices, so that answers come between; each slice leaves the table whole."""
        unknown = table.unknown(page.entries)
        if unknown:
            await self._load(table, unknown, await self._source.first_known_us(unknown))
        for start in range(0, len(page.entries), SLICE_EVENTS):
            part = page.entries[start : start + SLICE_EVENTS]
            table.apply(partition, part, part[-1].position)
            await asyncio.sleep(0)
        table.apply(partition, (), page.last)


def _until(page: Page, upto: LogPosition) -> Page:
    entries = [entry for entry in page.entries if entry.position <= upto]
    return Page(entries, page.unreadable, min(page.last, upto))


class RedisItems:
    """The online store and the log."""

    def __init__(self, client: redis.asyncio.Redis, partitions: int, limit_s: float = 5.0) -> None:
        self._client, self._partitions, self._limit_s = client, partitions, limit_s
        self._fields = item_fields(partitions)

    async def rewritten(self) -> int:
        return int(await self._within(self._client.get(keys.ITEMS_REWRITTEN)) or 0)

    async def applied(self) -> tuple[LogPosition, ...]:
        held = await self._within(
            self._client.mget([keys.applied(partition) for partition in range(self._partitions)])
        )
        return tuple(
            LogPosition.of(partition, one) if one else start_of(partition)
            for partition, one in enumerate(held)
        )

    async def rows(self, item_ids: Sequence[str]) -> dict[str, ItemReading]:
        asked = [(ITEM_VIEW.key(item_id), self._fields) for item_id in item_ids]
        replies = await self._within(replies_of(self._client, asked))
        # One row, damaged or of another version, must not stop them all.
        read = [
            readable_or_none(partial(parse_item_reading, self._partitions, reply))
            for reply in replies
        ]
        if unreadable := read.count(None):
            logger.warning("the rows of %d items cannot be read: passed over", unreadable)
        return {
            item_id: one
            for item_id, one in zip(item_ids, read, strict=True)
            if one and one.state.first_seen_us
        }

    async def newest(self, at_most: int) -> dict[str, int]:
        found = await self._within(
            self._client.zrange(keys.ARRIVALS, 0, at_most - 1, desc=True, withscores=True)
        )
        return {name.decode(): int(at_us) for name, at_us in found}

    async def first_known_us(self, item_ids: Sequence[str]) -> dict[str, int]:
        found = await self._within(self._client.zmscore(keys.ARRIVALS, list(item_ids)))
        return {
            item_id: int(at_us)
            for item_id, at_us in zip(item_ids, found, strict=True)
            if at_us is not None
        }

    async def pages(self, positions: Mapping[int, LogPosition], count: int) -> dict[int, Page]:
        found: dict[int, Page] = await self._within(
            read_pages_now(self._client, positions, count=count)
        )
        return found

    async def _within(self, read: Any) -> Any:
        try:
            # Not `wait_for`: in Python 3.11 it may lose the cancellation that ends its task.
            async with asyncio.timeout(self._limit_s):
                return await read
        except (RedisError, OSError, TimeoutError) as error:
            raise StoreUnavailable("Redis", "its address", type(error).__name__) from error
