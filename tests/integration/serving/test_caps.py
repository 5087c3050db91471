"""Frequency caps counted in a real Valkey, for all replicas together."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import redis

from nearline import keys
from nearline.embedded.valkey import EmbeddedValkey
from nearline.errors import StoreUnavailable
from serving.caps import RedisCaps
from serving.features import connect
from serving.policy.model import FrequencyCap
from tests import capping
from tests.capping import HOUR_US, NOW_US, TWO_A_DAY, CapsScenarios
from tests.integration.serving.conftest import silent

pytestmark = pytest.mark.redis

LIMIT_MS = 30_000  # A test machine may pause for seconds.


class InValkey:
    def __init__(self, url: str) -> None:
        self._url = url

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[RedisCaps]:
        client = connect(self._url)
        yield RedisCaps(client, timeout_ms=LIMIT_MS)
        await client.aclose()

    @asynccontextmanager
    async def down(self) -> AsyncIterator[RedisCaps]:
        client = connect("redis://127.0.0.1:1/0")
        yield RedisCaps(client, timeout_ms=LIMIT_MS)
        await client.aclose()


@pytest.fixture
def counted(valkey: redis.Redis, valkey_server: Any) -> InValkey:
    return InValkey(valkey_server.url)


class TestInValkey(CapsScenarios):
    """The whole suite."""


def take(counted: InValkey, *caps: FrequencyCap, at_us: int = NOW_US, name: str = "1") -> bool:
    async def told() -> bool:
        async with counted.opened() as counts:
            return await capping.take(counts, "ann", caps, name, at_us)

    return asyncio.run(told())


def test_a_customers_counts_go_with_the_longest_window(
    counted: InValkey, valkey: redis.Redis
) -> None:
    assert take(counted, TWO_A_DAY, FrequencyCap("push", at_most=9, window_hours=48))

    assert 48 * 3_600 - 60 < valkey.ttl(keys.cap("push", "ann")) <= 48 * 3_600


def test_what_no_window_reaches_any_more_is_not_kept(
    counted: InValkey, valkey: redis.Redis
) -> None:
    for number in range(5):
        assert take(counted, TWO_A_DAY, at_us=NOW_US + number * 24 * HOUR_US, name=str(number))

    assert valkey.zcard(keys.cap("push", "ann")) <= 2


def test_a_window_of_no_whole_second_is_remembered_to_its_end(
    counted: InValkey, valkey: redis.Redis
) -> None:
    seconds = FrequencyCap("push", at_most=1, window_hours=99.9 / 3_600)
    began_s, began_us = valkey.time()
    assert take(counted, seconds)
    ends_ms: Any = valkey.pexpiretime(keys.cap("push", "ann"))
    assert ends_ms / 1_000 >= began_s + began_us / 1_000_000 + 99.9

    assert not take(counted, seconds, at_us=NOW_US + 99_800_000, name="2")


def test_a_store_that_says_nothing_is_not_waited_for(
    counted: InValkey, valkey: redis.Redis, valkey_server: EmbeddedValkey
) -> None:
    async def told() -> float:
        client = connect(counted._url)
        await capping.take(RedisCaps(client, LIMIT_MS), "ann", [TWO_A_DAY], "1", NOW_US)
        caps, taken_s = RedisCaps(client, timeout_ms=30), list[float]()
        with silent(valkey_server):
            for _ in range(3):  # The machine may stand still in one of them.
                started_s = time.monotonic()
                with pytest.raises(StoreUnavailable, match="TimeoutError"):
                    async with asyncio.timeout(60):
                        await capping.take(caps, "ann", [TWO_A_DAY], "2", NOW_US)
                taken_s.append(time.monotonic() - started_s)
        await client.aclose()
        return min(taken_s)

    assert asyncio.run(told()) < 0.5
