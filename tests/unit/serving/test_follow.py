"""Following the log, against a store in memory; tests/integration/serving has the real one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import pytest

from nearline.contracts.position import LogPosition
from nearline.log import Page
from nearline.online import ItemReading
from nearline.transforms import item
from serving.follow import PAGE_EVENTS, ROWS_AT_ONCE, SLICE_EVENTS, Follower
from tests.following import FollowerScenarios
from tests.item_shop import ItemShop
from tests.unit.stream.made import NOON_US, event


class MemoryShop(ItemShop):
    """What the scenarios ask of a shop."""

    def half_work(self) -> None:
        for partition in range(self.partitions):
            self.commit(partition, self.waiting(partition))

    def backfill(self) -> None:
        fresh = ItemShop(self.partitions)
        for partition, entries in self.log.items():
            fresh.commit(partition, (one for one in entries if one.position <= self.at(partition)))
        self.rewrite(fresh._rows)

    def lose(self, item_id: str) -> None:
        del self._rows[item_id]

    def at(self, partition: int) -> LogPosition:
        return self._applied[partition]

    def positions(self) -> tuple[LogPosition, ...]:
        return tuple(self._applied)

    @asynccontextmanager
    async def source(self) -> AsyncIterator[ItemShop]:
        yield self

    @contextmanager
    def cut(self) -> Iterator[None]:
        self.down = True
        yield
        self.down = False

    async def rows(self, item_ids: list[str]) -> dict[str, ItemReading]:
        found = await super().rows(item_ids)
        await asyncio.sleep(0)  # A reply takes its time, and the world goes on.
        return found

    async def pages(self, positions: dict[int, LogPosition], count: int) -> dict[int, Page]:
        found = await super().pages(positions, count)
        await asyncio.sleep(0)
        return found


@pytest.fixture
def shop() -> MemoryShop:
    return MemoryShop()


class TestInMemory(FollowerScenarios):
    """The whole suite."""


def many(count: int) -> MemoryShop:
    shop = MemoryShop(partitions=1)
    shop.append(event(f"v{n}", items=(f"i{n}",), occurred_at_us=NOON_US + n) for n in range(count))
    shop.work()
    return shop


def test_others_get_their_turn_while_rows_are_loaded_and_a_page_is_added() -> None:
    loaded, added = 5 * ROWS_AT_ONCE, 2 * PAGE_EVENTS
    shop = many(loaded)

    async def story() -> tuple[int, int]:
        follower = Follower(shop, 1, lambda: [f"i{n}" for n in range(loaded)])
        turns = [await turns_during(follower)]
        shop.append(event(f"w{n}", items=("i1",), occurred_at_us=NOON_US + n) for n in range(added))
        shop.work()
        turns.append(await turns_during(follower))
        assert follower.table.state("i1").views_total == 1 + added
        return turns[0], turns[1]

    while_loading, while_adding = asyncio.run(story())

    assert while_loading >= loaded // ROWS_AT_ONCE
    assert while_adding >= added // SLICE_EVENTS


async def turns_during(follower: Follower) -> int:
    """How often another task came to run while a step was made."""
    task, turns = asyncio.create_task(follower.step()), 0
    while not task.done():
        await asyncio.sleep(0)
        turns += 1
    await task
    return turns


def test_between_two_slices_the_table_is_whole() -> None:
    shop = many(0)

    async def story() -> None:
        follower = Follower(shop, 1, lambda: ())
        await follower.step()
        shop.append(event(f"w{n}", items=("lamp",), occurred_at_us=NOON_US + n) for n in range(175))
        shop.work()
        task, seen = asyncio.create_task(follower.step()), set()
        while not task.done():
            await asyncio.sleep(0)
            table = follower.table
            assert table.state("lamp") == shop.folded("lamp", table.positions) or not table.exact
            seen.add(table.positions[0].ms)
        assert len(seen) >= 4  # Each slice was seen, with the position that is its own.

    asyncio.run(story())


def test_nothing_is_read_but_positions_while_nothing_happens() -> None:
    shop = many(3)

    async def story() -> None:
        follower = Follower(shop, 1, lambda: ["i1"])
        await follower.step()
        shop.reads.clear()
        await follower.step()

    asyncio.run(story())

    assert shop.reads == ["rewritten", "applied"]


def test_a_log_that_was_trimmed_behind_the_applied_position_is_passed_over() -> None:
    """History and rows have it: what is no longer on the log was applied, and is in the rows."""
    shop = many(5)

    async def story() -> None:
        follower = Follower(shop, 1, lambda: ["i1"])
        await follower.step()
        shop.advance(LogPosition(0, 9_000, 0))
        await follower.step()
        assert follower.table.positions == (LogPosition(0, 9_000, 0),)

    asyncio.run(story())


def test_an_entry_that_nobody_can_decode_is_passed_over_as_the_worker_did() -> None:
    class Damaged(MemoryShop):
        async def pages(self, positions: dict[int, LogPosition], count: int) -> dict[int, Page]:
            (page,) = (await super().pages(positions, count)).values()
            first, *others = page.entries
            return {0: Page(others, [first.position], page.last)}

    shop = Damaged(partitions=1)

    async def story() -> None:
        follower = Follower(shop, 1, lambda: ())
        await follower.step()
        shop.append([event("v1", items=("lamp",)), event("v2", items=("rug",))])
        shop.work()
        await follower.step()

        assert follower.table.positions == (LogPosition(0, 1_001, 0),)
        assert follower.table.state("lamp") == item.EMPTY
        assert follower.table.state("rug").views_total == 1

    asyncio.run(story())
