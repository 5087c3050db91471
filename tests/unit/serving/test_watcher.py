"""What the watcher tells the replicas, and when."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from nearline.contracts.bundle import CHAMPION
from serving import desired, watcher
from serving.desired import Desired
from serving.watch import WatchState
from serving.watcher import Watcher
from tests.polling import happens
from tests.unreadable import make_unreadable


class StillClock:
    def now_us(self) -> int:
        return 7


class SlowStore:
    """Bundle 2 is champion; its files, or even its name, come when `there` is set."""

    def __init__(self, bundles: Path, silent: bool = False) -> None:
        self._bundles, self._silent, self.there = bundles, silent, threading.Event()

    def resolve(self, alias: str) -> str | None:
        assert not self._silent or self.there.wait(60)
        return "2" if alias == CHAMPION else None

    def fetch(self, version: str) -> Path:
        assert self.there.wait(60)
        return self._bundles / version


@pytest.fixture
def bundles(tiny: ModuleType, tmp_path: Path) -> Path:
    for seed in (1, 2, 3):
        tiny.write(tmp_path / str(seed), seed=seed)
    return tmp_path


@pytest.fixture(autouse=True)
def short_beats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watcher, "_BEAT_S", 0.01)


def served(bundles: Path, champion: str, challenger: str = "") -> None:
    """A service has been here before."""
    state = WatchState(active=champion, looked=True, challenger=challenger)
    beside = str(bundles / challenger) if challenger else ""
    desired.write(bundles, Desired(str(bundles / champion), beside, state, at_us=1))


def told(bundles: Path, until: Callable[[Desired], bool], silent: bool = False) -> list[Desired]:
    """What is told meanwhile, once that holds, and what when the files have come at last."""
    store = SlowStore(bundles, silent)

    async def run() -> list[Desired]:
        following = asyncio.create_task(
            Watcher(bundles, store.resolve, store.fetch, StillClock()).run(0.01)
        )
        found = []
        try:
            await happens(lambda: until(desired.read(bundles)))
            found.append(desired.read(bundles))
            store.there.set()
            await happens(lambda: desired.read(bundles).watched.active == "2")
            found.append(desired.read(bundles))
        finally:
            store.there.set()
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
        return found

    return asyncio.run(run())


def test_what_answered_before_is_told_while_the_next_is_fetched(bundles: Path) -> None:
    served(bundles, "1", challenger="3")

    meanwhile, at_last = told(bundles, lambda found: found.at_us == 7 and found.watched.registry)

    assert meanwhile.watched == WatchState(active="1", looked=True, challenger="3")
    assert meanwhile.folders == {"1": str(bundles / "1"), "3": str(bundles / "3")}
    assert at_last.champion_folder == str(bundles / "2")


def test_a_registry_that_is_silent_is_told_as_that(bundles: Path) -> None:
    served(bundles, "1")

    meanwhile, at_last = told(bundles, lambda found: not found.watched.registry, silent=True)

    assert meanwhile.watched.active == "1"
    assert at_last.watched.active == "2"


def test_one_that_answers_with_what_is_no_answer_is_told_as_one_that_does_not(
    bundles: Path,
) -> None:
    served(bundles, "1")

    def page(_: str) -> str:
        raise ValueError("a page of HTML")

    async def run() -> None:
        one = Watcher(bundles, page, Path, StillClock())
        await one.adopt()
        await one.look()

    asyncio.run(run())

    assert desired.read(bundles).watched == WatchState(active="1", looked=True, registry=False)


def test_a_disk_that_is_full_stops_nothing(bundles: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError("no space left")

    write, store = desired.write, SlowStore(bundles)
    store.there.set()

    async def run() -> None:
        one = Watcher(bundles, store.resolve, store.fetch, StillClock())
        monkeypatch.setattr(desired, "write", full)
        await one.look()
        monkeypatch.setattr(desired, "write", write)
        await one.look()

    asyncio.run(run())

    assert desired.read(bundles).watched.active == "2"


@pytest.mark.parametrize("before", ["", "1"])
def test_the_first_word_waits_for_the_right_bundle_a_while_and_no_longer(
    bundles: Path, monkeypatch: pytest.MonkeyPatch, before: str
) -> None:
    waits, told_after, wait = list[int](), list[int](), asyncio.wait
    store = SlowStore(bundles)
    if before:
        served(bundles, before)

    async def counted(*given: Any, **more: Any) -> Any:
        waits.append(1)
        return await wait(*given, **more)

    async def tell(_: Watcher, *, registry: bool) -> None:
        told_after.append(len(waits))
        store.there.set()

    monkeypatch.setattr(asyncio, "wait", counted)
    monkeypatch.setattr(Watcher, "_tell", tell)
    monkeypatch.setattr(watcher, "_BEATS_FOR_THE_FIRST", 3)

    async def run() -> None:
        one = Watcher(bundles, store.resolve, store.fetch, StillClock())
        await one.adopt()
        await one.look()

    asyncio.run(run())

    assert told_after[0] == 3


def test_a_copy_of_before_that_cannot_be_read_stops_nothing(
    bundles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served(bundles, "1")
    make_unreadable(bundles / "1", monkeypatch)

    assert told(bundles, lambda _: True)[-1].watched.active == "2"
