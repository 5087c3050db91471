"""Which bundles should answer: what the watcher writes, and how each replica follows it."""

from __future__ import annotations

import asyncio
import logging
import shutil
from pathlib import Path
from types import ModuleType

import pytest

from serving import desired
from serving.bundles import Bundle, Shelf
from serving.desired import FILE, Desired, Following, Trial
from serving.watch import RETRY_REFUSED_S, BundleWatch, WatchState
from tests.unreadable import make_unreadable


@pytest.fixture(scope="module")
def made(tiny: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three bundles, 1 to 3, to be copied."""
    folder = tmp_path_factory.mktemp("made")
    for seed in (1, 2, 3):
        tiny.write(folder / str(seed), seed=seed)
    return folder


@pytest.fixture
def bundles(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "bundles")
    return tmp_path / "bundles"


class Replica:
    """A shelf that follows, with a clock by hand and a note of what was prepared before."""

    def __init__(self, bundles: Path) -> None:
        self.shelf, self.now_s = Shelf(), 1_000.0
        self.before: list[tuple[str, str | None]] = []
        self.following = Following(bundles, self.shelf, self._before, lambda: self.now_s)

    async def _before(self, bundle: Bundle) -> None:
        self.before.append((bundle.version, self.champion))

    def step(self) -> None:
        async def both() -> None:
            await self.following.champion()
            await self.following.challenger()

        asyncio.run(both())

    @property
    def champion(self) -> str | None:
        return self.shelf.current.version if self.shelf.current else None

    @property
    def challenger(self) -> str | None:
        return self.shelf.challenger.version if self.shelf.challenger else None


def wish(bundles: Path, champion: str = "", challenger: str = "") -> None:
    desired.write(
        bundles,
        Desired(
            str(bundles / champion) if champion else "",
            str(bundles / challenger) if challenger else "",
            WatchState(active=champion, challenger=challenger, looked=True),
            at_us=1,
        ),
    )


def tamper(folder: Path) -> None:
    (folder / "popular.json").write_text("[0]")


# A replica follows.


def test_a_replica_that_starts_late_finds_both_versions(bundles: Path) -> None:
    wish(bundles, "1", "2")
    replica = Replica(bundles)

    replica.step()

    assert (replica.champion, replica.challenger) == ("1", "2")
    assert replica.following.refused == ""


def test_a_bundle_is_made_ready_before_it_answers(bundles: Path) -> None:
    replica = Replica(bundles)
    wish(bundles, "1")
    replica.step()
    wish(bundles, "2", "3")
    replica.step()

    # With each version, what answered while its items were being loaded.
    assert replica.before == [("1", None), ("2", "1"), ("3", "2")]
    assert (replica.champion, replica.challenger) == ("2", "3")


def test_both_may_change_in_one_look(bundles: Path) -> None:
    """Three in memory: the one before, and the two that are wanted now."""
    replica = Replica(bundles)
    for champion, challenger in (("1", "2"), ("2", "3"), ("3", "1"), ("1", "2")):
        wish(bundles, champion, challenger)
        replica.step()
        assert (replica.champion, replica.challenger) == (champion, challenger)
        assert len(replica.shelf.versions) <= 3


def test_what_is_there_is_neither_loaded_nor_made_ready_again(bundles: Path) -> None:
    replica = Replica(bundles)
    for champion in ("1", "2", "1", "2"):
        wish(bundles, champion)
        replica.step()
        assert replica.champion == champion

    assert [version for version, _ in replica.before] == ["1", "2"]


def test_where_nobody_has_written_nothing_is_loaded(tmp_path: Path) -> None:
    replica = Replica(tmp_path / "nowhere")

    replica.step()

    assert replica.champion is None
    assert replica.following.desired == Desired()


@pytest.mark.parametrize(
    "content", [b"", b"{", b'{"watched": {"active": 7}}', b"[]", b"\xff\xfe", b'{"at_us": "soon"}']
)
def test_a_file_that_cannot_be_read_moves_nothing_and_is_told_to_operators(
    bundles: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    replica = Replica(bundles)
    wish(bundles, "1", "2")
    replica.step()
    (bundles / FILE).write_bytes(content)

    with caplog.at_level(logging.WARNING):
        replica.step()

    assert (replica.champion, replica.challenger) == ("1", "2")
    assert replica.following.desired.watched.looked  # So it is not taken for one that starts.
    assert f"{FILE} cannot be read" in caplog.text
    wish(bundles, "2")
    replica.step()
    assert replica.champion == "2"


def test_a_challenger_that_is_withdrawn_answers_no_more_and_the_champion_goes_on(
    bundles: Path,
) -> None:
    replica = Replica(bundles)
    wish(bundles, "1", "2")
    replica.step()
    wish(bundles, "1")
    replica.step()

    assert (replica.champion, replica.challenger) == ("1", None)


def test_a_tampered_bundle_is_refused_and_the_old_one_stays(bundles: Path) -> None:
    replica = Replica(bundles)
    wish(bundles, "1")
    replica.step()
    tamper(bundles / "2")
    wish(bundles, "2")
    replica.step()

    assert replica.champion == "1"
    assert replica.following.refused.startswith("bundle 2: ")
    assert "changed after it was sealed" in replica.following.refused
    assert [version for version, _ in replica.before] == ["1"]


def test_a_tampered_challenger_is_not_stood_in_for_and_the_champion_goes_on(bundles: Path) -> None:
    replica = Replica(bundles)
    wish(bundles, "1", "2")
    replica.step()
    tamper(bundles / "3")
    wish(bundles, "1", "3")
    replica.step()

    assert (replica.champion, replica.challenger) == ("1", None)
    assert "bundle 3" in replica.following.refused


def test_a_refused_bundle_rests_for_a_minute_and_is_then_tried_again(bundles: Path) -> None:
    replica = Replica(bundles)
    tamper(bundles / "2")
    wish(bundles, "2")
    replica.step()
    shutil.rmtree(bundles / "2")
    shutil.copytree(bundles / "1", bundles / "2")  # Mended, as a download mends a copy.

    replica.now_s += RETRY_REFUSED_S - 0.1
    replica.step()
    assert replica.champion is None
    assert "bundle 2" in replica.following.refused
    replica.now_s += 0.1
    replica.step()
    assert replica.champion == "2"
    assert replica.following.refused == ""


def test_a_refusal_is_told_only_while_that_bundle_is_wanted(bundles: Path) -> None:
    replica = Replica(bundles)
    tamper(bundles / "2")
    wish(bundles, "2")
    replica.step()
    wish(bundles, "1")
    replica.step()

    assert (replica.champion, replica.following.refused) == ("1", "")


def test_a_copy_that_is_gone_is_a_refusal_and_no_crash(bundles: Path) -> None:
    replica = Replica(bundles)
    shutil.rmtree(bundles / "2")
    wish(bundles, "2")

    replica.step()

    assert "bundle 2" in replica.following.refused


def test_a_copy_that_cannot_be_read_is_a_refusal_and_no_crash(
    bundles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replica = Replica(bundles)
    wish(bundles, "2")
    make_unreadable(bundles / "2", monkeypatch)

    replica.step()

    assert "cannot be read (PermissionError)" in replica.following.refused


def test_a_writer_that_is_killed_between_two_writes_leaves_the_whole_file_before(
    bundles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wish(bundles, "1")

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("os.replace", killed)
    with pytest.raises(KeyboardInterrupt):
        wish(bundles, "2")

    assert desired.read(bundles).watched.active == "1"


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    state = WatchState("7", True, False, "why", "8", "why not")
    wished = Desired("/a folder/7", "/a folder/8", state, 123)

    desired.write(tmp_path / "not there yet", wished)

    assert desired.read(tmp_path / "not there yet") == wished
    assert wished.folders == {"7": "/a folder/7", "8": "/a folder/8"}


# The watcher tries first.


def test_the_trial_knows_the_folder_of_what_is_well_and_why_the_other_is_not(
    bundles: Path,
) -> None:
    trial = Trial()
    tamper(bundles / "2")

    assert asyncio.run(trial.prepare("1", str(bundles / "1"))) == ""
    why = asyncio.run(trial.prepare("2", str(bundles / "2")))

    assert "changed after it was sealed" in why
    assert trial.folder("1") == str(bundles / "1")
    assert trial.folder("2") == ""


def test_a_version_is_tried_once_in_one_folder(
    bundles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trial, loaded = Trial(), list[str]()
    monkeypatch.setattr("serving.desired.load", lambda folder, _: loaded.append(folder.name))

    for folder in ("1", "1", "2", "2"):  # The second is another copy.
        assert asyncio.run(trial.prepare("1", str(bundles / folder))) == ""

    assert loaded == ["1", "2"]
    assert trial.folder("1") == str(bundles / "2")


def test_a_copy_that_was_damaged_after_it_was_tried_is_noticed(bundles: Path) -> None:
    trial = Trial()
    assert asyncio.run(trial.prepare("1", str(bundles / "1"))) == ""
    tamper(bundles / "1")

    assert asyncio.run(trial.prepare("1", str(bundles / "1"))) != ""
    assert trial.folder("1") == ""


def watching(bundles: Path, aliases: dict[str, str]) -> tuple[BundleWatch, Trial, list[str]]:
    trial, fetched = Trial(), list[str]()

    def fetch(version: str) -> Path:
        fetched.append(version)
        return bundles / version

    return BundleWatch([trial], aliases.get, fetch, lambda: 1_000.0), trial, fetched


def test_what_is_refused_never_reaches_the_file_of_the_replicas(bundles: Path) -> None:
    aliases = {"champion": "1"}
    watch, trial, _ = watching(bundles, aliases)
    asyncio.run(watch.look())
    tamper(bundles / "2")
    aliases["champion"] = "2"

    state = asyncio.run(watch.look())

    assert (state.active, trial.folder(state.active)) == ("1", str(bundles / "1"))
    assert "bundle 2" in state.refused


def test_a_watcher_that_starts_again_adopts_what_answered_without_fetching_it(
    bundles: Path,
) -> None:
    watch, trial, fetched = watching(bundles, {"champion": "1"})
    assert asyncio.run(trial.prepare("1", str(bundles / "1"))) == ""
    watch.adopt("1", str(bundles / "1"))
    assert watch.state.active == "1"

    state = asyncio.run(watch.look())

    assert (state.active, state.refused, fetched) == ("1", "", [])


def test_an_adopted_champion_yields_to_the_registrys(bundles: Path) -> None:
    watch, trial, fetched = watching(bundles, {"champion": "2"})
    watch.adopt("1", str(bundles / "1"))

    state = asyncio.run(watch.look())

    assert (state.active, fetched) == ("2", ["2"])
    assert trial.folder("2") == str(bundles / "2")


def test_an_adopted_champion_whose_copy_is_gone_is_fetched_again(bundles: Path) -> None:
    watch, _, fetched = watching(bundles, {"champion": "1"})
    watch.adopt("1", str(bundles / "elsewhere"))

    first = asyncio.run(watch.look())
    second = asyncio.run(watch.look())

    assert (first.active, "bundle 1" in first.refused) == ("", True)
    assert (second.active, second.refused, fetched) == ("1", "", ["1"])
