"""A shop so large that its items take longer to load than a start may take."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
import redis

from nearline.embedded.valkey import EmbeddedValkey
from serving import replica
from serving.config import ServingConfig
from serving.follow import Follower
from serving.items import ItemTable
from serving.replica import Replica

pytestmark = pytest.mark.redis


def test_items_that_load_slowly_are_not_begun_again_when_the_start_stops_waiting(
    valkey: redis.Redis,
    valkey_server: EmbeddedValkey,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fresh, began = Follower._fresh, []

    async def slow(follower: Follower) -> ItemTable:
        began.append(time.monotonic())
        await asyncio.sleep(0.6)
        return await fresh(follower)

    monkeypatch.setattr(Follower, "_fresh", slow)
    monkeypatch.setattr(replica, "_READY_LIMIT_S", 0.2)
    config = ServingConfig(
        valkey_server.url, 4, "", bundles=tmp_path / "bundles", policy=tmp_path / "policy"
    )

    async def run() -> tuple[bool, bool]:
        one = Replica(config)
        await one.start()
        at_once = one._items() is not None
        async with asyncio.timeout(10.0):
            while one._items() is None:
                await asyncio.sleep(0.05)
        await one.close()
        return at_once, one._items() is not None

    assert asyncio.run(run()) == (False, True)
    assert len(began) == 1
