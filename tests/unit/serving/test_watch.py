"""Following the champion."""

from __future__ import annotations

import asyncio
from pathlib import Path

from nearline.contracts.bundle import BundleRefused
from nearline.errors import StoreUnavailable
from serving.watch import RETRY_REFUSED_S, BundleWatch


class FakeStage:
    """Notes what it was told; refuses the versions it is given."""

    def __init__(self, name: str, story: list[str], refuses: tuple[str, ...] = ()) -> None:
        self.name, self.story, self.refuses = name, story, refuses

    async def prepare(self, version: str, folder: str) -> str:
        self.story.append(f"{self.name} prepares {version}")
        return "it is odd" if version in self.refuses else ""

    async def activate(self, version: str) -> None:
        self.story.append(f"{self.name} activates {version}")


class FakeRegistry:
    def __init__(self) -> None:
        self.champion: str | None = None
        self.down = False
        self.tampered: set[str] = set()
        self.fetched: list[str] = []

    def resolve(self) -> str | None:
        if self.down:
            raise StoreUnavailable("MLflow", "here", "off")
        return self.champion

    def fetch(self, version: str) -> Path:
        self.fetched.append(version)
        if version in self.tampered:
            raise BundleRefused(version, "a file was changed")
        return Path(version)


def watch_of(registry: FakeRegistry, *stages: FakeStage, now_s: list[float]) -> BundleWatch:
    return BundleWatch(stages, registry.resolve, registry.fetch, lambda: now_s[0])


def test_every_stage_holds_a_version_before_any_switches() -> None:
    registry, story = FakeRegistry(), list[str]()
    watch = watch_of(
        registry, FakeStage("ranking", story), FakeStage("retrieval", story), now_s=[0.0]
    )
    registry.champion = "7"

    state = asyncio.run(watch.look())

    assert story[:4] == [
        "ranking prepares 7",
        "retrieval prepares 7",
        "ranking activates 7",
        "retrieval activates 7",
    ]
    assert (state.active, state.refused) == ("7", "")


def test_no_champion_yet_is_no_fault() -> None:
    state = asyncio.run(watch_of(FakeRegistry(), now_s=[0.0]).look())

    assert (state.active, state.looked, state.refused) == ("", True, "")


def test_each_look_repeats_the_active_version_for_replicas_that_restarted() -> None:
    registry, story = FakeRegistry(), list[str]()
    watch = watch_of(registry, FakeStage("ranking", story), now_s=[0.0])
    registry.champion = "7"
    asyncio.run(watch.look())
    story.clear()

    asyncio.run(watch.look())

    assert story == ["ranking prepares 7", "ranking activates 7"]
    assert registry.fetched == ["7"]


def test_a_version_that_one_stage_refuses_switches_nowhere_and_rests_a_minute() -> None:
    registry, story, now_s = FakeRegistry(), list[str](), [100.0]
    watch = watch_of(
        registry,
        FakeStage("ranking", story),
        FakeStage("retrieval", story, refuses=("8",)),
        now_s=now_s,
    )
    registry.champion = "7"
    asyncio.run(watch.look())
    registry.champion = "8"

    state = asyncio.run(watch.look())
    assert (state.active, state.refused) == ("7", "bundle 8: it is odd")
    assert not any("activates 8" in line for line in story)

    asyncio.run(watch.look())
    assert registry.fetched == ["7", "8"]  # it rests
    now_s[0] += RETRY_REFUSED_S
    asyncio.run(watch.look())
    assert registry.fetched == ["7", "8", "8"]


def test_a_tampered_bundle_is_refused_and_its_successor_is_taken() -> None:
    registry, story = FakeRegistry(), list[str]()
    watch = watch_of(registry, FakeStage("ranking", story), now_s=[0.0])
    registry.champion, registry.tampered = "2", {"2"}

    assert asyncio.run(watch.look()).refused == "bundle 2: a file was changed"
    registry.champion = "3"

    assert asyncio.run(watch.look()).active == "3"
    assert watch.state.refused == ""


def test_a_registry_that_is_down_changes_nothing_but_the_report() -> None:
    registry, story = FakeRegistry(), list[str]()
    watch = watch_of(registry, FakeStage("ranking", story), now_s=[0.0])
    registry.champion = "7"
    asyncio.run(watch.look())
    registry.down = True

    state = asyncio.run(watch.look())
    assert (state.active, state.refused) == ("7", "the registry does not answer")

    registry.down = False
    assert asyncio.run(watch.look()).refused == ""


def test_a_copy_that_a_restarted_replica_cannot_load_is_fetched_again() -> None:
    registry, story = FakeRegistry(), list[str]()
    stage = FakeStage("retrieval", story)
    watch = watch_of(registry, stage, now_s=[0.0])
    registry.champion = "7"
    asyncio.run(watch.look())

    stage.refuses = ("7",)  # its files were damaged meanwhile
    state = asyncio.run(watch.look())
    assert (state.active, state.refused) == ("", "bundle 7: it is odd")

    stage.refuses = ()
    state = asyncio.run(watch.look())
    assert (state.active, state.refused) == ("7", "")
    assert registry.fetched == ["7", "7"]
