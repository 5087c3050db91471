"""Many customers in one pipeline read as each of them alone, and one broken row breaks none."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
import redis

from nearline import keys
from nearline.contracts.position import LogPosition, partition_of
from nearline.errors import StoreUnavailable
from nearline.feast_layout import CUSTOMER_VIEW, sequence_field
from nearline.online import COMMIT_SCRIPT, commit_args, customer_columns
from serving.features import RedisFeatures, connect
from serving.memory import MemoryFeatures

pytestmark = pytest.mark.redis

PARTITIONS = 4


def test_a_pipeline_reads_what_single_reads_do(
    valkey: redis.Redis, valkey_server: Any, tiny: Any
) -> None:
    chance, memory = random.Random(5), MemoryFeatures(PARTITIONS)
    ids = ["ann", "bob", "陈", *(f"c-{number}" for number in range(30))]
    names = ("view_item", "add_to_cart", "purchase")
    memory.fold(
        tiny.event(n, chance.choice(ids), chance.choice(names), [n % 10], 500 - n)
        for n in range(300)
    )

    async def story() -> None:
        for name in ids:
            held = await memory.customer(name)
            assert held.position is not None
            row = customer_columns(held.state)
            args = commit_args(CUSTOMER_VIEW, row, held.known_at_us, held.position, 0)
            valkey.eval(COMMIT_SCRIPT, 1, CUSTOMER_VIEW.key(name), *args)
        client = connect(valkey_server.url)
        store = RedisFeatures(client, PARTITIONS, 5_000)
        asked = ["a stranger", *ids, "ann"]

        together = await store.customers(asked)

        assert together == [await store.customer(name) for name in asked]
        assert together == await memory.customers(asked)
        assert await store.customers([]) == []

        ann = partition_of("ann", PARTITIONS)
        assert await store.position("ann") == together[-1].position
        assert await store.position("a stranger") is None
        valkey.set(keys.applied(ann), "9999999999999-3")
        assert await store.position("ann") == LogPosition(ann, 9_999_999_999_999, 3)

        valkey.hset(CUSTOMER_VIEW.key("bob"), CUSTOMER_VIEW.fields["views_total"], b"\xff")
        ann, bob, chen = await store.customers(["ann", "bob", "陈"])
        assert (ann, bob, chen) == (together[1], None, together[3])
        valkey.set(CUSTOMER_VIEW.key("a stranger"), "something else")
        assert await store.customers(["ann", "a stranger"]) == [together[1], None]
        valkey.hset(CUSTOMER_VIEW.key("ann"), sequence_field(partition_of("ann", PARTITIONS)), "x")
        for reading in (
            store.customer("bob"),
            store.customer("a stranger"),
            store.customer("ann"),
            store.position("ann"),
        ):
            with pytest.raises(StoreUnavailable):
                await reading
        await client.aclose()

    asyncio.run(story())
