"""A replica that starts before the watcher of its service has found a bundle."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis

from nearline.clock import SystemClock
from nearline.embedded.valkey import EmbeddedValkey
from serving import desired
from serving import replica as module
from serving.bundles import Shelf
from serving.config import ServingConfig
from serving.desired import Desired
from serving.replica import Replica
from serving.watch import WatchState
from tests.polling import happens

pytestmark = pytest.mark.redis

STARTED_US = 2_000_000


@pytest.fixture
def config(valkey: redis.Redis, valkey_server: EmbeddedValkey, tmp_path: Path) -> ServingConfig:
    return ServingConfig(
        valkey_server.url,
        4,
        "",
        bundles=tmp_path / "bundles",
        policy=tmp_path / "policy",
        started_us=STARTED_US,
        follow_every_s=0.01,
    )


@pytest.fixture
def bundle(config: ServingConfig, tiny: Any) -> Path:
    folder = config.bundles / "1"
    tiny.write(folder, seed=1)
    return folder


def found(
    config: ServingConfig, champion: Path | None, at_us: int, challenger: Path | None = None
) -> None:
    """The watcher has found these, or nothing."""
    names = [folder.name if folder else "" for folder in (champion, challenger)]
    state = WatchState(active=names[0], looked=True, challenger=names[1])
    folders = str(champion or ""), str(challenger or "")
    desired.write(config.bundles, Desired(*folders, state, at_us))


async def health_of(one: Replica) -> tuple[str, str]:
    """Whether it says that it starts, and the bundle that answers."""
    health = await one.health()
    return "starting" if health.status == "starting" else "", health.bundle


async def started(one: Replica) -> tuple[str, str]:
    await asyncio.wait_for(one.start(), timeout=20.0)
    try:
        return await health_of(one)
    finally:
        await one.close()


def test_it_is_ready_only_with_the_bundle_that_is_found_now(
    config: ServingConfig, bundle: Path
) -> None:
    found(config, None, STARTED_US - 1)  # By a watcher of another service, which has been before.

    async def run() -> None:
        one = Replica(config)
        starting = asyncio.create_task(one.start())
        await happens(lambda: one._following.desired.at_us == STARTED_US - 1)
        assert await health_of(one) == ("starting", "")
        assert not starting.done()
        found(config, bundle, STARTED_US)
        await asyncio.wait_for(starting, timeout=20.0)
        assert await health_of(one) == ("", "1")
        found(config, bundle, STARTED_US - 1)  # A clock that steps back takes nothing back.
        await happens(lambda: one._following.desired.at_us == STARTED_US - 1)
        assert await health_of(one) == ("", "1")
        await one.close()

    asyncio.run(run())


def test_a_watcher_that_never_looks_delays_the_start_only_so_long(
    config: ServingConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_READY_LIMIT_S", 0.2)

    assert asyncio.run(started(Replica(config))) == ("starting", "")


def test_a_bundle_that_loads_longer_than_that_is_loaded_once(
    config: ServingConfig, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_READY_LIMIT_S", 0.2)
    prepare, go_on, begun = Shelf.prepare, threading.Event(), list[str]()

    def slow(shelf: Shelf, version: str, folder: Path) -> None:
        begun.append(version)
        assert go_on.wait(60)
        prepare(shelf, version, folder)

    monkeypatch.setattr(Shelf, "prepare", slow)
    found(config, bundle, STARTED_US)

    async def run() -> None:
        one = Replica(config)
        await asyncio.wait_for(one.start(), timeout=20.0)
        assert await health_of(one) == ("starting", "")
        go_on.set()
        await happens(lambda: one._followed.is_set())
        assert await health_of(one) == ("", "1")
        await one.close()

    asyncio.run(run())
    assert begun == ["1"]


def test_a_challenger_that_still_loads_holds_nothing_up_and_is_not_told_before_it_answers(
    config: ServingConfig, bundle: Path, tiny: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny.write(config.bundles / "2", seed=2)
    prepare, go_on = Shelf.prepare, threading.Event()

    def slow(shelf: Shelf, version: str, folder: Path) -> None:
        assert version == "1" or go_on.wait(60)
        prepare(shelf, version, folder)

    monkeypatch.setattr(Shelf, "prepare", slow)
    found(config, bundle, STARTED_US, challenger=config.bundles / "2")

    async def run() -> None:
        one = Replica(config)
        await asyncio.wait_for(one.start(), timeout=20.0)
        health = await one.health()
        assert (health.bundle, health.challenger) == ("1", "")
        assert await health_of(one) == ("", "1")
        go_on.set()
        await happens(lambda: one._shelf.challenger is not None)
        assert (await one.health()).challenger == "2"
        await one.close()

    asyncio.run(run())


def test_where_nobody_knows_when_the_service_began_a_bundle_of_before_is_enough(
    config: ServingConfig, bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = replace(config, started_us=0)

    found(config, bundle, 1)
    assert asyncio.run(started(Replica(config))) == ("", "1")

    found(config, None, SystemClock().now_us())
    assert asyncio.run(started(Replica(config))) == ("", "")

    monkeypatch.setattr(module, "_READY_LIMIT_S", 0.2)
    found(config, None, 1)  # That there was none is long past.
    assert asyncio.run(started(Replica(config))) == ("starting", "")
