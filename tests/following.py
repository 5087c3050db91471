"""What a follower must do, whatever the store is: one suite, in memory and on a real Valkey.

A `shop` appends events, works on them as a stream worker does, and is read through `source()`.
Its items' rows, `held()`, are what the follower's table must come to.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Any, Protocol

import pytest

from nearline.contracts.event import Event
from nearline.contracts.position import LogPosition
from nearline.errors import StoreUnavailable
from nearline.transforms import item
from nearline.transforms.item import ItemState
from serving.follow import Follower, ItemSource
from tests.item_shop import items_of
from tests.unit.stream.made import NOON_US, event, shop_log


class Shop(Protocol):
    partitions: int

    def append(self, events: Sequence[Event]) -> None: ...

    def work(self, at_most: int | None = None) -> None:
        """Apply the next entries of each partition, or all that wait."""

    def half_work(self) -> None:
        """Commit all that waits, and be killed before saying so."""

    def backfill(self) -> None:
        """Rewrite every row from the events, without the log saying so."""

    def lose(self, item_id: str) -> None:
        """Take an item's row away, as no writer ever does."""

    def held(self) -> dict[str, ItemState]: ...

    def positions(self) -> tuple[LogPosition, ...]:
        """Up to where the rows are complete."""

    def source(self) -> AbstractAsyncContextManager[ItemSource]: ...

    def cut(self) -> AbstractContextManager[None]:
        """The store does not answer meanwhile."""


Story = Callable[[Follower], Awaitable[None]]


def follow(shop: Shop, wanted: Iterable[str], story: Story) -> None:
    """Tell a story with a new follower; what blocks runs in threads, as the store is elsewhere."""

    async def told() -> None:
        async with shop.source() as source:
            await story(Follower(source, shop.partitions, lambda: wanted))

    asyncio.run(told())


async def done(what: Callable[..., Any], *arguments: Any) -> None:
    await asyncio.to_thread(what, *arguments)


def same(follower: Follower, shop: Shop) -> None:
    """The table holds exactly what the rows hold of its items, as of exact positions."""
    held, table = shop.held(), follower.table
    assert table.exact
    assert table.positions == shop.positions()
    assert len(table) > 0
    for item_id, state in held.items():
        if item_id in table:
            assert table.state(item_id) == state, item_id


class FollowerScenarios:
    """To be subclassed where a fixture `shop` gives an empty one."""

    def test_it_starts_with_what_the_rows_hold_and_as_of_where_they_are_complete(
        self, shop: Shop
    ) -> None:
        events = shop_log(1, 120, items=10)
        shop.append(events)
        shop.work()

        async def story(follower: Follower) -> None:
            assert not follower.loaded
            await follower.step()

            assert follower.loaded
            same(follower, shop)
            for item_id in items_of(events):
                assert follower.table.state(item_id) == item.fold(item_id, events)
            assert "never-named" not in follower.table

        follow(shop, [*items_of(events), "never-named"], story)

    def test_it_goes_on_as_things_happen_but_never_past_what_is_applied(self, shop: Shop) -> None:
        shop.append([event("v1", items=("lamp",))])
        shop.work()

        async def story(follower: Follower) -> None:
            await follower.step()
            before = follower.table.positions
            await done(shop.append, [event("v2", items=("lamp",), occurred_at_us=NOON_US + 1)])
            await follower.step()
            assert follower.table.state("lamp").views_total == 1
            assert follower.table.positions == before

            await done(shop.work)
            await follower.step()
            assert follower.table.state("lamp").views_total == 2
            same(follower, shop)

        follow(shop, ["lamp"], story)

    def test_of_a_page_only_what_is_applied_is_added(self, shop: Shop) -> None:
        """Rows that are loaded later must never be behind the table."""
        views = [
            event(f"v{n}", items=("lamp",), occurred_at_us=NOON_US + n, customer_id="ada")
            for n in range(10)
        ]
        shop.append(views[:1])
        shop.work()

        async def story(follower: Follower) -> None:
            await follower.step()
            await done(shop.append, views[1:])
            await done(shop.work, 4)
            await follower.step()
            assert follower.table.state("lamp").views_total == 5
            same(follower, shop)

            await done(shop.work, 3)
            await follower.step()
            assert follower.table.state("lamp").views_total == 8
            same(follower, shop)

        follow(shop, ["lamp"], story)

    def test_what_nobody_wanted_is_loaded_when_it_is_named_with_all_its_past(
        self, shop: Shop
    ) -> None:
        shop.append([event(f"v{n}", items=("lamp",), occurred_at_us=NOON_US + n) for n in range(3)])
        shop.work()

        async def story(follower: Follower) -> None:
            await follower.step()
            # It is an arrival still, so forget that: as if it were older than all arrivals.
            follower.table._slot_of.pop("lamp", None)
            await done(shop.append, [event("v9", items=("lamp",), occurred_at_us=NOON_US + 9)])
            await done(shop.work)
            await follower.step()

            assert follower.table.state("lamp").views_total == 4
            same(follower, shop)

        follow(shop, [], story)

    def test_a_new_item_becomes_an_arrival_with_the_stores_instant(self, shop: Shop) -> None:
        shop.append([event("v1", items=("lamp",))])
        shop.work()

        async def story(follower: Follower) -> None:
            await follower.step()
            listing = event(
                "l", name="item_listed", items=("rug", "sofa"), occurred_at_us=NOON_US + 5
            )
            await done(shop.append, [listing])
            await done(shop.work)
            await follower.step()

            assert follower.table.arrivals == ("sofa", "rug", "lamp")

        follow(shop, [], story)

    def test_a_backfill_makes_a_fresh_table(self, shop: Shop) -> None:
        events = shop_log(2, 60, items=6)
        shop.append(events)
        shop.work()
        name = items_of(events)[0]
        shop.lose(name)

        async def story(follower: Follower) -> None:
            await follower.step()
            old = follower.table
            assert name not in old
            await done(shop.backfill)
            assert follower.table is old
            await follower.step()

            assert follower.table is not old
            assert follower.table.state(name) == item.fold(name, events)
            same(follower, shop)
            held = follower.table
            await follower.step()
            assert follower.table is held

        follow(shop, items_of(events), story)

    def test_a_store_that_is_down_leaves_the_table_as_it_was_and_is_followed_again(
        self, shop: Shop
    ) -> None:
        shop.append([event("v1", items=("lamp",))])
        shop.work()

        async def story(follower: Follower) -> None:
            with shop.cut(), pytest.raises(StoreUnavailable):
                await follower.step()
            assert not follower.loaded
            await follower.step()
            held, looked_at_s = follower.table, follower.looked_at_s
            await done(shop.append, [event("v2", items=("lamp", "rug"))])
            await done(shop.work)
            with shop.cut():
                with pytest.raises(StoreUnavailable):
                    await follower.step()
                with pytest.raises(StoreUnavailable):
                    await follower.hold(["sofa"])
            assert follower.table is held
            assert follower.table.state("lamp").views_total == 1
            assert follower.looked_at_s == looked_at_s  # So the lag that operators see grows.

            await follower.step()
            assert follower.looked_at_s > looked_at_s
            same(follower, shop)

        follow(shop, ["lamp"], story)

    def test_rows_that_are_ahead_are_told_as_inexact_until_the_position_comes(
        self, shop: Shop
    ) -> None:
        shop.append([event("v1", items=("lamp",))])
        shop.work()

        async def story(follower: Follower) -> None:
            await done(shop.append, [event("v2", items=("lamp",), occurred_at_us=NOON_US + 1)])
            await done(shop.half_work)
            await follower.step()
            assert follower.table.state("lamp").views_total == 2
            assert not follower.table.exact

            await done(shop.work)
            await follower.step()
            assert follower.table.state("lamp").views_total == 2
            same(follower, shop)

        follow(shop, ["lamp"], story)

    def test_held_items_are_there_at_once_and_kept_up(self, shop: Shop) -> None:
        shop.append([event("v1", items=("lamp", "rug"))])
        shop.work()

        async def story(follower: Follower) -> None:
            await follower.hold(["lamp"])  # Before anything is loaded: nothing to hold it in.
            assert not follower.loaded
            await follower.step()
            for name in ("lamp", "rug"):
                follower.table._slot_of.pop(name)
            await follower.hold(["lamp"])
            assert "lamp" in follower.table
            assert "rug" not in follower.table
            await done(shop.append, [event("v2", items=("lamp",), occurred_at_us=NOON_US + 1)])
            await done(shop.work)
            await follower.step()
            same(follower, shop)

        follow(shop, [], story)

    def test_items_that_could_not_be_held_come_with_the_next_step(self, shop: Shop) -> None:
        """Else a bundle that came while the store was away would never know their stock or ban."""
        shop.append([event("v1", items=("lamp", "rug"))])
        shop.work()
        wanted = ["lamp"]

        async def story(follower: Follower) -> None:
            await follower.step()
            follower.table._slot_of.pop("rug")  # As if it were older than all arrivals.
            wanted.append("rug")
            with shop.cut(), pytest.raises(StoreUnavailable):
                await follower.hold(["rug"])
            assert "rug" not in follower.table

            await follower.step()
            assert "rug" in follower.table
            assert follower.table.state("rug").views_total == 1
            same(follower, shop)

        follow(shop, wanted, story)

    def test_a_bundle_that_comes_while_the_log_is_followed_counts_nothing_twice(
        self, shop: Shop
    ) -> None:
        """Both look at one table: the loop that follows, and the bundle that is swapped in."""
        events = shop_log(3, 400, items=12)
        names = items_of(events)
        shop.append(events[:200])
        shop.work()

        async def story(follower: Follower) -> None:
            await follower.step()
            for part in range(200, 400, 25):
                await done(shop.append, events[part : part + 25])
                await done(shop.work)
                await asyncio.gather(
                    follower.step(), follower.hold(names), follower.step(), follower.hold(names)
                )
            same(follower, shop)
            for name in names:
                assert follower.table.state(name) == item.fold(name, events)

        follow(shop, names[:3], story)

    @pytest.mark.parametrize("seed", [11, 12, 13])
    def test_after_whatever_happened_the_table_is_what_the_worker_wrote(
        self, shop: Shop, seed: int
    ) -> None:
        chance, events = random.Random(seed), shop_log(seed, 400)
        names = items_of(events)

        async def story(follower: Follower) -> None:
            sent = 0
            while sent < len(events):
                size = chance.randrange(1, 60)
                await done(shop.append, events[sent : sent + size])
                sent += size
                await done(shop.work, chance.choice([3, 20, None]))
                if chance.random() < 0.3:
                    await done(shop.half_work)
                if chance.random() < 0.7:
                    await follower.step()
                if chance.random() < 0.3:
                    await follower.hold(chance.sample(names, 3))
            await done(shop.work)
            await follower.step()

            same(follower, shop)
            assert set(shop.held()) == {name for name in names if name in follower.table}

        follow(shop, names[: seed % 7], story)
