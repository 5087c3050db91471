"""Following champion and challenger."""

from __future__ import annotations

import asyncio
from pathlib import Path

from nearline.contracts.bundle import CHAMPION, BundleRefused
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

    async def challenge(self, version: str) -> None:
        self.story.append(f"{self.name} challenges with {version or 'nothing'}")


class FakeRegistry:
    def __init__(self) -> None:
        self.champion: str | None = None
        self.challenger: str | None = None
        self.down = False
        self.lost: set[str] = set()  # the files of these, not the names
        self.tampered: set[str] = set()
        self.fetched: list[str] = []

    def resolve(self, alias: str) -> str | None:
        if self.down:
            raise StoreUnavailable("MLflow", "here", "off")
        return self.champion if alias == CHAMPION else self.challenger

    def fetch(self, version: str) -> Path:
        if version in self.lost:
            raise StoreUnavailable("MLflow's files", "there", "off")
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


def test_a_refused_version_is_forgotten_when_the_alias_goes_back_to_what_answers() -> None:
    registry, story = FakeRegistry(), list[str]()
    watch = watch_of(registry, FakeStage("ranking", story, refuses=("8",)), now_s=[0.0])
    registry.champion = "7"
    asyncio.run(watch.look())
    registry.champion = "8"
    assert asyncio.run(watch.look()).refused == "bundle 8: it is odd"

    registry.champion = "7"  # somebody rolled back

    assert asyncio.run(watch.look()).refused == ""
    assert watch.state.active == "7"


def test_a_registry_that_is_down_changes_nothing_but_the_report() -> None:
    registry, story = FakeRegistry(), list[str]()
    watch = watch_of(registry, FakeStage("ranking", story), now_s=[0.0])
    registry.champion = "7"
    asyncio.run(watch.look())
    registry.down = True

    state = asyncio.run(watch.look())
    assert (state.active, state.refused, state.registry) == ("7", "", False)

    registry.down = False
    assert asyncio.run(watch.look()).registry


def test_a_champion_that_cannot_be_fetched_is_no_refused_one() -> None:
    registry, story = FakeRegistry(), list[str]()
    watch = watch_of(registry, FakeStage("ranking", story), now_s=[0.0])
    registry.champion, registry.lost = "7", {"7"}  # It is named; its files do not come.

    state = asyncio.run(watch.look())
    assert (state.active, state.refused, state.registry) == ("", "", False)

    registry.lost = set()
    state = asyncio.run(watch.look())
    assert (state.active, state.registry) == ("7", True)


def test_why_bundles_are_refused_is_told_while_the_registry_is_down_and_after() -> None:
    registry, story, now_s = FakeRegistry(), list[str](), [100.0]
    watch = watch_of(registry, FakeStage("ranking", story, refuses=("8", "9")), now_s=now_s)
    registry.champion = "7"
    asyncio.run(watch.look())
    registry.champion, registry.challenger = "8", "9"
    told = [asyncio.run(watch.look())]

    registry.down = True
    told.append(asyncio.run(watch.look()))
    registry.down = False
    told.append(asyncio.run(watch.look()))  # Both rest: nobody tries them again yet.

    assert [state.registry for state in told] == [True, False, True]
    for state in told:
        assert (state.active, state.refused) == ("7", "bundle 8: it is odd")
        assert (state.challenger, state.challenger_refused) == ("", "bundle 9: it is odd")
    assert registry.fetched == ["7", "8", "9"]


def test_a_refused_version_that_is_named_again_is_told_again_while_it_rests() -> None:
    registry, story = FakeRegistry(), list[str]()
    watch = watch_of(registry, FakeStage("ranking", story, refuses=("8", "9")), now_s=[0.0])
    registry.champion = "7"
    asyncio.run(watch.look())
    told = []
    for registry.champion, registry.challenger in (("8", "9"), ("7", None), ("8", "9")):
        state = asyncio.run(watch.look())
        told.append((state.refused, state.challenger_refused))

    odd = ("bundle 8: it is odd", "bundle 9: it is odd")
    assert told == [odd, ("", ""), odd]


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


def test_a_challenger_answers_beside_the_champion_until_its_alias_is_removed() -> None:
    registry, story = FakeRegistry(), list[str]()
    watch = watch_of(
        registry, FakeStage("ranking", story), FakeStage("retrieval", story), now_s=[0.0]
    )
    registry.champion, registry.challenger = "7", "8"

    state = asyncio.run(watch.look())
    assert (state.active, state.challenger) == ("7", "8")
    assert story[-4:] == [
        "ranking prepares 8",
        "retrieval prepares 8",
        "ranking challenges with 8",
        "retrieval challenges with 8",
    ]

    registry.challenger = None
    state = asyncio.run(watch.look())
    assert (state.active, state.challenger) == ("7", "")
    assert story[-2:] == ["ranking challenges with nothing", "retrieval challenges with nothing"]


def test_a_refused_challenger_never_hurts_the_champion_and_rests_a_minute() -> None:
    registry, story, now_s = FakeRegistry(), list[str](), [100.0]
    watch = watch_of(registry, FakeStage("ranking", story, refuses=("8",)), now_s=now_s)
    registry.champion, registry.challenger = "7", "8"

    state = asyncio.run(watch.look())
    assert (state.active, state.refused) == ("7", "")
    assert (state.challenger, state.challenger_refused) == ("", "bundle 8: it is odd")

    asyncio.run(watch.look())
    assert registry.fetched == ["7", "8"]  # it rests
    now_s[0] += RETRY_REFUSED_S
    registry.challenger, registry.tampered = "9", {"9"}
    assert asyncio.run(watch.look()).challenger_refused == "bundle 9: a file was changed"
    assert watch.state.active == "7"
    registry.challenger = None
    assert asyncio.run(watch.look()).challenger_refused == ""


def test_a_challenger_that_rests_is_not_stood_in_for_by_the_one_before() -> None:
    registry, story = FakeRegistry(), list[str]()
    watch = watch_of(registry, FakeStage("ranking", story, refuses=("9",)), now_s=[0.0])
    registry.champion, registry.challenger = "7", "9"
    asyncio.run(watch.look())
    registry.challenger = "5"
    assert asyncio.run(watch.look()).challenger == "5"

    registry.challenger = "9"
    state = asyncio.run(watch.look())

    assert (state.challenger, state.challenger_refused) == ("", "bundle 9: it is odd")
    assert story[-1] == "ranking challenges with nothing"


def test_a_promoted_challenger_becomes_champion_and_challenges_no_more() -> None:
    registry, story = FakeRegistry(), list[str]()
    watch = watch_of(registry, FakeStage("ranking", story), now_s=[0.0])
    registry.champion, registry.challenger = "7", "8"
    asyncio.run(watch.look())

    registry.champion, registry.challenger = "8", None
    state = asyncio.run(watch.look())

    assert (state.active, state.challenger) == ("8", "")
    assert story[-1] == "ranking challenges with nothing"


def test_a_promoted_challenger_challenges_no_more_though_the_next_cannot_be_fetched() -> None:
    registry = FakeRegistry()
    watch = watch_of(registry, FakeStage("ranking", []), now_s=[0.0])
    registry.champion, registry.challenger = "7", "8"
    asyncio.run(watch.look())

    registry.champion, registry.challenger, registry.lost = "8", "9", {"9"}
    state = asyncio.run(watch.look())

    assert (state.active, state.challenger) == ("8", "")


def test_a_challenger_stays_while_the_registry_is_down() -> None:
    registry, story = FakeRegistry(), list[str]()
    watch = watch_of(registry, FakeStage("ranking", story), now_s=[0.0])
    registry.champion, registry.challenger = "7", "8"
    asyncio.run(watch.look())
    registry.down = True

    assert asyncio.run(watch.look()).challenger == "8"
    assert registry.fetched == ["7", "8"]
