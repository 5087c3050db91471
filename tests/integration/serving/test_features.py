"""The store in Redis and the one in memory read alike, and a slow one is not waited for."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator
from typing import Any

import pytest
import redis
import redis.asyncio

from nearline import keys
from nearline.contracts.position import LogPosition, partition_of, start_of
from nearline.errors import StoreUnavailable
from nearline.feast_layout import (
    CUSTOMER_VIEW,
    ITEM_VIEW,
    ViewLayout,
    encode_value,
    sequence_field,
)
from nearline.online import (
    COMMIT_SCRIPT,
    commit_args,
    customer_columns,
    item_columns,
)
from nearline.transforms import item
from serving.features import PopularItem, RedisFeatures, connect
from serving.follow import Follower, RedisItems
from serving.items import ItemTable
from serving.memory import MemoryFeatures

pytestmark = pytest.mark.redis

PARTITIONS = 4


def test_both_stores_read_the_same(valkey: redis.Redis, valkey_server: Any, tiny: Any) -> None:
    generator, memory = random.Random(2), MemoryFeatures(PARTITIONS)
    names = ("view_item", "add_to_cart", "purchase")
    customers, items = ["ann", "bob", "陈"], [tiny.item_id(row) for row in range(12)]
    memory.fold(
        tiny.event(n, generator.choice(customers), generator.choice(names), [n % 10], 500 - n)
        for n in range(200)
    )
    memory.popular_items = (PopularItem("i1", "c", 5),)

    async def both() -> None:
        for name in customers:
            reading = await memory.customer(name)
            assert reading.position is not None
            assert reading.position.partition == partition_of(name, PARTITIONS)
            row = customer_columns(reading.state)
            args = commit_args(CUSTOMER_VIEW, row, reading.known_at_us, reading.position, 0)
            valkey.eval(COMMIT_SCRIPT, 1, CUSTOMER_VIEW.key(name), *args)
            position = reading.position
        for item_id in items:
            if item_id in memory.items:
                state = memory.items.state(item_id)
                args = commit_args(ITEM_VIEW, item_columns(state), 1, position, 0)
                valkey.eval(COMMIT_SCRIPT, 1, ITEM_VIEW.key(item_id), *args)
        valkey.set(keys.FALLBACK_POPULAR, '[["i1","c",5]]')

        client = connect(valkey_server.url)
        store = RedisFeatures(client, PARTITIONS, 5_000)
        for name in [*customers, "a stranger"]:
            assert await store.customer(name) == await memory.customer(name)
        read = await RedisItems(client, PARTITIONS).rows(items)
        assert set(read) == {one for one in items if one in memory.items}  # Two have no row.
        for item_id, one in read.items():
            assert one.state == memory.items.state(item_id)
            # Each row was written once, at the last customer's position.
            assert one.sequences == tuple(
                position if partition == position.partition else None
                for partition in range(PARTITIONS)
            )
        assert await store.popular() == await memory.popular()
        await client.aclose()

    asyncio.run(both())


def test_a_store_that_does_not_answer_is_not_waited_for() -> None:
    async def story() -> None:
        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()  # until the client hangs up
            writer.close()

        server = await asyncio.start_server(silent, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        client = connect(f"redis://127.0.0.1:{port}/0")
        store, items = RedisFeatures(client, PARTITIONS, 30), RedisItems(client, PARTITIONS, 0.03)
        for reading in (
            store.customer("ann"),
            store.position("ann"),
            store.popular(),
            store.ping(),
            items.rows(["i1"]),
            items.applied(),
            items.rewritten(),
            items.newest(5),
            items.first_known_us(["i1"]),
            items.pages({0: start_of(0)}, 5),
        ):
            with pytest.raises(StoreUnavailable):
                await asyncio.wait_for(reading, 5)
        await client.aclose()
        server.close()

    asyncio.run(story())


def test_a_store_that_stays_silent_is_left_alone_for_a_while_and_then_asked_again() -> None:
    async def story() -> tuple[list[str], list[str]]:
        async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()

        server = await asyncio.start_server(silent, "127.0.0.1", 0)
        client = connect(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0")
        causes = []
        for rest_s in (1_000.0, 0.0):
            store = RedisFeatures(client, PARTITIONS, 1, rest_s)
            causes.append([await cause_of(store) for _ in range(5)])
        await client.aclose()
        server.close()
        return causes[0], causes[1]

    resting, asking = asyncio.run(story())

    assert resting == ["TimeoutError"] * 3 + ["silent a moment ago"] * 2
    assert asking == ["TimeoutError"] * 5


async def cause_of(store: RedisFeatures) -> str:
    with pytest.raises(StoreUnavailable) as raised:
        await store.customer("ann")
    return raised.value.cause


def test_a_store_that_is_not_there_is_told_at_once() -> None:
    async def story() -> None:
        client = connect("redis://127.0.0.1:1/0")
        with pytest.raises(StoreUnavailable):
            await RedisFeatures(client, PARTITIONS, 5_000).customer("ann")
        await client.aclose()

    asyncio.run(story())


def damage(valkey: redis.Redis, view: ViewLayout, name: str) -> Iterator[None]:
    """Of another version, or damaged: in each way in which that was thought of."""
    stamp = b"\x08\x01"
    for damaged in (
        {view.timestamp_field: b"\xff\xff"},
        {view.timestamp_field: stamp, view.fields["minute_buckets"]: b"\xff secret"},
        {view.timestamp_field: stamp, view.fields["minute_buckets"]: encode_value([7], "ints")},
        {view.timestamp_field: stamp}
        | {sequence_field(one): b"secret" for one in range(PARTITIONS)},
    ):
        valkey.delete(view.key(name))
        valkey.hset(view.key(name), mapping=damaged)
        yield
    valkey.set(view.key(name), "something else, secret")
    yield


def test_a_customers_row_that_cannot_be_read_is_as_good_as_none(
    valkey: redis.Redis, valkey_server: Any
) -> None:
    """The answer falls back, and no message quotes the row."""

    async def read_once() -> None:
        client = connect(valkey_server.url)
        try:
            await RedisFeatures(client, PARTITIONS, 5_000).customer("ann")
        finally:
            await client.aclose()

    for _ in damage(valkey, CUSTOMER_VIEW, "ann"):
        with pytest.raises(StoreUnavailable) as raised:
            asyncio.run(read_once())
        assert "secret" not in str(raised.value)


def test_an_items_row_that_cannot_be_read_is_passed_over_and_the_others_are_there(
    valkey: redis.Redis, valkey_server: Any, tiny: Any, caplog: pytest.LogCaptureFixture
) -> None:
    state = item.fold("i2", [tiny.event(1, "ann", "view_item", [2])])
    args = commit_args(ITEM_VIEW, item_columns(state), 1, LogPosition(0, 1, 1), 0)
    valkey.eval(COMMIT_SCRIPT, 1, ITEM_VIEW.key("i2"), *args)
    valkey.set(keys.applied(0), "1-1")

    async def load_once() -> ItemTable:
        client = connect(valkey_server.url)
        follower = Follower(RedisItems(client, PARTITIONS), PARTITIONS, lambda: ["i1", "i2", "i3"])
        try:
            await follower.step()
        finally:
            await client.aclose()
        return follower.table

    for _ in damage(valkey, ITEM_VIEW, "i1"):
        caplog.clear()
        table = asyncio.run(load_once())
        assert [name for name in ("i1", "i2", "i3") if name in table] == ["i2"]
        assert table.state("i2") == state
        assert "rows of 1 items cannot be read" in caplog.text
        assert "secret" not in caplog.text
