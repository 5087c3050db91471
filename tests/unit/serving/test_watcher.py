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
    for seed in (1, 2):
        tiny.write(tmp_path / str(seed), seed=seed)
    return tmp_path


@pytest.fixture(autouse=True)
def short_beats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watcher, "_BEAT_S", 0.01)


def served(bundles: Path, version: str) -> None:
    """A service has been here before."""
    state = WatchState(active=version, looked=True)
    desired.write(bundles, Desired(str(bundles / version), watched=state, at_us=1))


def told(bundles: Path, until: Callable[[Desired], bool], silent: bool = False) -> list[Desired]:
    """What is told first, and what when the files have come at last."""
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
    served(bundles, "1")

    meanwhile, at_last = told(bundles, lambda found: found.at_us == 7)

    assert meanwhile.watched == WatchState(active="1", looked=True)
    assert meanwhile.champion_folder == str(bundles / "1")
    assert at_last.champion_folder == str(bundles / "2")


def test_a_registry_that_is_silent_is_told_as_that(bundles: Path) -> None:
    served(bundles, "1")

    meanwhile, at_last = told(bundles, lambda found: found.at_us == 7, silent=True)

    assert (meanwhile.watched.active, meanwhile.watched.registry) == ("1", False)
    assert at_last.watched.registry


def test_with_nothing_to_answer_with_the_first_is_waited_for_a_while_only(
    bundles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits, told_after, wait = list[int](), list[int](), asyncio.wait
    store = SlowStore(bundles)

    async def counted(*given: Any, **more: Any) -> Any:
        waits.append(1)
        return await wait(*given, **more)

    async def tell(_: Watcher) -> None:
        told_after.append(len(waits))
        store.there.set()

    monkeypatch.setattr(asyncio, "wait", counted)
    monkeypatch.setattr(Watcher, "_tell", tell)
    monkeypatch.setattr(watcher, "_BEATS_FOR_THE_FIRST", 3)

    asyncio.run(Watcher(bundles, store.resolve, store.fetch, StillClock()).look())

    assert told_after[0] == 3


def test_a_copy_of_before_that_cannot_be_read_stops_nothing(
    bundles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served(bundles, "1")
    read = Path.open

    def unreadable(path: Path, mode: str = "r", **more: str) -> object:
        if path.parent == bundles / "1":
            raise PermissionError
        return read(path, mode, **more)

    monkeypatch.setattr(Path, "open", unreadable)

    assert told(bundles, lambda _: True)[-1].watched.active == "2"
