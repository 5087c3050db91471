"""A replica that starts before the watcher of its service has looked for a bundle."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
import redis

from nearline.embedded.valkey import EmbeddedValkey
from serving import desired, replica
from serving.config import ServingConfig
from serving.desired import Desired
from serving.replica import Replica
from serving.watch import WatchState

pytestmark = pytest.mark.redis

STARTED_US = 2_000_000


@pytest.fixture
def config(valkey: redis.Redis, valkey_server: EmbeddedValkey, tmp_path: Path) -> ServingConfig:
    """Of a service that starts where another, whose watcher found nothing, has been before."""
    bundles = tmp_path / "bundles"
    desired.write(bundles, Desired(watched=WatchState(looked=True), at_us=STARTED_US - 1))
    return ServingConfig(
        valkey_server.url,
        4,
        "",
        bundles=bundles,
        policy=tmp_path / "policy",
        started_us=STARTED_US,
    )


def test_it_is_ready_only_with_the_bundle_that_the_watcher_finds(
    config: ServingConfig, tiny: Any
) -> None:
    folder = config.bundles / "1"
    tiny.write(folder, seed=1)

    async def run() -> tuple[bool, str, str]:
        one = Replica(config)
        starting = asyncio.create_task(one.start())
        await asyncio.sleep(0.3)
        early, before = starting.done(), (await one.health()).status
        found = WatchState(active="1", looked=True)
        desired.write(config.bundles, Desired(str(folder), watched=found, at_us=STARTED_US))
        await asyncio.wait_for(starting, timeout=20.0)
        health = await one.health()
        await one.close()
        return early, before, health.bundle

    assert asyncio.run(run()) == (False, "starting", "1")


def test_a_watcher_that_never_looks_delays_the_start_only_so_long(
    config: ServingConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(replica, "_READY_LIMIT_S", 0.2)

    async def run() -> str:
        one = Replica(config)
        await asyncio.wait_for(one.start(), timeout=20.0)
        health = await one.health()
        await one.close()
        return health.status

    assert asyncio.run(run()) == "starting"
