"""The store in Redis and the one in memory read alike, and a slow one is not waited for."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
import redis
import redis.asyncio

from nearline import keys
from nearline.contracts.position import partition_of
from nearline.errors import StoreUnavailable
from nearline.feast_layout import CUSTOMER_VIEW, ITEM_VIEW, ViewLayout, encode_value
from nearline.online import COMMIT_SCRIPT, commit_args, customer_columns, item_columns
from serving.features import PopularItem, RedisFeatures, connect
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
        for item_id, held in zip(items, await memory.items(items), strict=True):
            if held.state.first_seen_us:
                args = commit_args(ITEM_VIEW, item_columns(held.state), 1, position, 0)
                valkey.eval(COMMIT_SCRIPT, 1, ITEM_VIEW.key(item_id), *args)
        valkey.set(keys.FALLBACK_POPULAR, '[["i1","c",5]]')

        client = connect(valkey_server.url)
        store = RedisFeatures(client, PARTITIONS, 5_000)
        for name in [*customers, "a stranger"]:
            assert await store.customer(name) == await memory.customer(name)
        read, expected = await store.items(items), await memory.items(items)
        assert [one.state for one in read] == [one.state for one in expected]
        # Each row was written once, at the last customer's position; two items have no row.
        for one in read:
            written = [sequence for sequence in one.sequences if sequence is not None]
            assert len(one.sequences) == PARTITIONS
            assert len(written) == (1 if one.state.first_seen_us else 0)
        assert await store.items([]) == []
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
        store = RedisFeatures(client, PARTITIONS, 30)
        for reading in (store.customer("ann"), store.items(["i1"]), store.popular(), store.ping()):
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


def test_a_row_that_cannot_be_read_is_as_good_as_none(
    valkey: redis.Redis, valkey_server: Any
) -> None:
    """Of another version, or damaged: the answer falls back, and no message quotes the row."""
    for view, name in ((CUSTOMER_VIEW, "ann"), (ITEM_VIEW, "i1")):
        stamp = b"\x08\x01"
        for damaged in (
            {view.timestamp_field: b"\xff\xff"},
            {view.timestamp_field: stamp, view.fields["minute_buckets"]: b"\xff secret"},
            {view.timestamp_field: stamp, view.fields["minute_buckets"]: encode_value([7], "ints")},
        ):
            key = view.key(name)
            valkey.delete(key)
            valkey.hset(key, mapping=damaged)

            with pytest.raises(StoreUnavailable, match="unreadable row") as raised:
                asyncio.run(read_once(valkey_server.url, view))
            assert "secret" not in str(raised.value)


async def read_once(url: str, view: ViewLayout) -> None:
    client = connect(url)
    store = RedisFeatures(client, PARTITIONS, 5_000)
    try:
        await (store.customer("ann") if view is CUSTOMER_VIEW else store.items(["i1"]))
    finally:
        await client.aclose()
