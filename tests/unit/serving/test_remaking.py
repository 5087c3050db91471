"""An answer made again from its exposure and from what had happened: the same bytes, or why not."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine, Iterable
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import Any

import msgspec
import pytest

from nearline.contracts.answer import Degradation, Recommendation, RecommendQuery
from nearline.contracts.event import ITEM_LISTED, Event, StatedFacts
from nearline.contracts.position import LogPosition, partition_of
from serving import composing
from serving.features import PopularItem
from serving.keeping import POPULAR, popular_of
from serving.made import Made, bytes_of, digest_of, made_in
from serving.policy.load import shipped
from serving.policy.model import FrequencyCap, canonical, from_canonical
from serving.remaking import Known, fold, remade
from tests.unit.serving.mute import Mute

SCENES = sorted(shipped().scenes)
NEEDED: dict[str, dict[str, Any]] = {
    "items": {"item_ids": ("i20", "i7")},
    "category": {"category": "c2"},
    "none": {},
}
Given = tuple[Recommendation, Made, int]  # An answer, what is kept of it, its instant.


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


@dataclass
class Shop:
    """A shop in memory, and its log as history would tell it."""

    world: Any
    tiny: ModuleType
    log: list[tuple[Event, LogPosition | None]] = field(default_factory=list)

    def happens(self, *events: Event) -> None:
        for event in events:
            partition = partition_of(event.customer_id, self.world.features.partitions)
            self.log.append((event, LogPosition(partition, len(self.log) + 1, 0)))
            self.world.features.fold([event])

    def lists(self, row: int, **stated: Any) -> None:
        """The shop states facts of an item."""
        event = self.tiny.event(5_000 + len(self.log), "shop", ITEM_LISTED, [row], 60)
        line = msgspec.structs.replace(event.lines[0], facts=StatedFacts(**stated))
        self.happens(msgspec.structs.replace(event, lines=(line,)))

    def given(self, *queries: RecommendQuery, deadline_ms: float | None = None) -> list[Given]:
        async def told() -> list[Recommendation]:
            ask = self.world.answering.recommend
            found = [await ask(query, deadline_ms) for query in queries]
            await self.world.exposures.close()
            return found

        answers: list[Recommendation] = run(told())
        logged = {event.response_id: event for event in self.world.logged}
        kept = [logged[answer.response_id] for answer in answers]
        return [
            (answer, made, event.occurred_at_us)
            for answer, event in zip(answers, kept, strict=True)
            if (made := made_in(event))
        ]

    def again(self, answer: Recommendation, made: Made, at_us: int) -> Recommendation:
        """By nothing but what is kept: the log in any order, the bundle, policy, popular items."""
        known, shuffled = Known(made, at_us), list(self.log)
        random.Random(3).shuffle(shuffled)
        fold(known, shuffled)
        policies = {policy.version: canonical(policy) for policy in self.world.policy}
        popular = self.world.keeper._held.get((POPULAR, made.popular), b"[]")
        return remade(
            answer.response_id,
            known,
            self.world.shelf.get(made.bundle) if made.bundle else None,
            from_canonical(policies[made.policy]),
            popular_of(popular),
        ).answer

    def more_happens(self) -> None:
        """What the answers before cannot have known, of their customers and items."""
        for row, name in enumerate(["view_item", "add_to_cart", "purchase"] * 3):
            number = 50_000 + len(self.log)
            self.happens(self.tiny.event(number, "ann", name, [row, row + 30], 1))


def same(shop: Shop, queries: Iterable[RecommendQuery]) -> list[Recommendation]:
    """Each answer is given, more happens, and then it is made again to the byte."""
    given = shop.given(*queries)
    shop.more_happens()
    for answer, made, at_us in given:
        found = shop.again(answer, made, at_us)
        assert bytes_of(found) == bytes_of(answer)
        assert digest_of(found) == made.digest
    return [answer for answer, _, _ in given]


def question(scene: str, customer_id: str = "ann", **more: Any) -> RecommendQuery:
    needed = NEEDED[shipped().scenes[scene].needs]
    return RecommendQuery(customer_id, scene, **{**needed, **more})


@pytest.fixture
def shop(world: Any, tiny: ModuleType) -> Shop:
    """Ann and twenty others have been there; the shop states facts, and lists a new item."""
    world.policy.append(shipped())  # With all that chance can add: the shipped scenes explore.
    made, chance = Shop(world, tiny), random.Random(1)
    names = ["view_item", "view_item", "add_to_cart", "purchase"]
    for number in range(240):
        who = "ann" if number % 6 == 0 else f"other-{number % 20}"
        rows = [chance.randrange(tiny.ITEMS) for _ in range(chance.choice([1, 1, 3]))]
        ago_s = chance.uniform(10, 20 * 86_400)
        made.happens(tiny.event(number, who, chance.choice(names), rows, ago_s))
    made.lists(21, stock=0)
    made.lists(22, banned=True)
    made.lists(tiny.ITEMS + 3, stock=5)
    return made


@pytest.mark.parametrize("who", ["ann", "a stranger"])
def test_an_answer_that_waited_for_an_event_of_no_row_is_made_again(shop: Shop, who: str) -> None:
    shop.happens(shop.tiny.event(900, who, "identify", [], 1))
    wanted = run(shop.world.features.position(who))
    assert wanted != run(shop.world.features.customer(who)).position

    (answer,) = same(shop, [question("home", who, min_position=str(wanted), max_wait_ms=0)])

    assert answer.receipt.log_position == str(wanted)


@pytest.mark.parametrize("scene", SCENES)
def test_an_answer_of_every_scene_is_made_again_whatever_happened_since(
    shop: Shop, scene: str
) -> None:
    answers = same(
        shop,
        [
            question(scene, explain=True),
            question(scene, "a stranger", k=3),
            question(scene, personalized=False, exclude_item_ids=("i1", "i2")),
            question(scene, "other-7", age_years=30, channel="fax"),
            question(scene, k=100),
        ],
    )

    assert all(set(answer.degraded) <= {Degradation.NOTHING_TO_RECOMMEND} for answer in answers)
    assert answers[0].items


def test_what_is_kept_decides_what_is_made(shop: Shop) -> None:
    """Else the proof above would prove nothing: each part that is kept matters."""
    ((answer, made, at_us),) = shop.given(question("home"))
    shop.more_happens()
    partitions = shop.world.features.partitions
    late = [str(LogPosition(partition, 2**41, 0)) for partition in range(partitions)]

    for wrong in (
        msgspec.structs.replace(made, customer_position=late[partition_of("ann", partitions)]),
        msgspec.structs.replace(made, item_positions=tuple(late)),
        msgspec.structs.replace(made, policy=shop.world.policy[0].version),
        msgspec.structs.replace(made, query=replace(made.query, k=4)),
    ):
        assert shop.again(answer, wrong, at_us).items != answer.items


def test_a_list_that_a_cap_emptied_is_made_again_empty(shop: Shop) -> None:
    held = shop.world.policy[-1]
    rules = msgspec.structs.replace(held.rules, frequency_caps=(FrequencyCap("push", 1, 24.0),))
    shop.world.policy.append(msgspec.structs.replace(held, rules=rules))

    first, second = same(shop, [question("push"), question("push")])

    assert first.items
    assert second.items == ()


def test_where_counts_could_not_be_read_the_same_is_said_again(shop: Shop) -> None:
    shop.world.caps.down = True

    (answer,) = same(shop, [question("push")])

    assert answer.degraded == (Degradation.CAP_UNKNOWN,)


class Broken:
    """A part that fails whatever is asked of it."""

    def __getattr__(self, name: str) -> Any:
        raise RuntimeError("a bug")


@pytest.mark.parametrize(
    ("part", "scene", "missing"),
    [
        ("ranker", "home", (Degradation.RANKER_UNAVAILABLE,)),
        ("encoder", "home", (Degradation.ENCODER_UNAVAILABLE,)),
        ("index", "home", (Degradation.INDEX_UNAVAILABLE,)),
        ("index", "detail", (Degradation.INDEX_UNAVAILABLE,)),
        ("shelves", "category", (Degradation.ANSWER_FAILED, Degradation.BUNDLE_UNAVAILABLE)),
    ],
)
def test_what_failed_then_is_left_out_again_though_it_works_now(
    shop: Shop, part: str, scene: str, missing: tuple[Degradation, ...]
) -> None:
    world, whole = shop.world, shop.world.shelf.current
    world.features.popular_items = (PopularItem("i1", "c1", 500), PopularItem("i2", "c2", 1))
    broken = (
        replace(whole, ranker=Broken())
        if part == "ranker"
        else replace(whole, finder=replace(whole.finder, **{part: Broken()}))
    )
    if part == "shelves":  # Arrivals would be put on them when the stock is made.
        world.features.items.arrivals = ()
    world.shelf._held["1"] = broken
    ((answer, made, at_us),) = shop.given(question(scene))
    world.shelf._held["1"] = whole

    assert answer.degraded == missing
    assert answer.items
    assert bytes_of(shop.again(answer, made, at_us)) == bytes_of(answer)


def test_what_could_not_be_explained_then_is_not_explained_again_though_it_could_be_now(
    shop: Shop,
) -> None:
    held = shop.world.shelf._held
    whole = shop.world.shelf.current
    held["1"] = replace(whole, ranker=Mute(whole.ranker))
    ((answer, made, at_us),) = shop.given(question("home", explain=True))
    held["1"] = whole

    assert answer.degraded == (Degradation.EXPLANATIONS_UNAVAILABLE,)
    assert all(item.reasons and not item.explanation for item in answer.items)
    assert bytes_of(shop.again(answer, made, at_us)) == bytes_of(answer)


@pytest.mark.parametrize(("explain", "mended"), [(False, False), (False, True), (True, False)])
def test_a_list_whose_reasons_failed_is_made_again_without_them(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, explain: bool, mended: bool
) -> None:
    """By the code that failed, and where nothing was explained by code that does not."""

    def broken(*_: object) -> None:
        raise RuntimeError("a bug")

    with monkeypatch.context() as patch:
        patch.setattr(composing, "reasons_for", broken)
        ((answer, made, at_us),) = shop.given(question("home", explain=explain))
        if not mended:
            again = shop.again(answer, made, at_us)
    if mended:
        again = shop.again(answer, made, at_us)

    assert answer.degraded == (Degradation.EXPLANATIONS_UNAVAILABLE,)
    assert not any(item.reasons or item.explanation for item in answer.items)
    assert bytes_of(again) == bytes_of(answer)


def test_a_list_that_came_late_is_made_again_without_the_ranker(shop: Shop) -> None:
    ((answer, made, at_us),) = shop.given(question("home"), deadline_ms=1e-9)

    assert Degradation.DEADLINE in answer.degraded
    assert bytes_of(shop.again(answer, made, at_us)) == bytes_of(answer)


def test_an_answer_without_features_or_items_is_made_again_without_them(shop: Shop) -> None:
    shop.world.features.down = True
    (unread,) = same(shop, [question("home")])
    shop.world.features.down, shop.world.items_loaded = False, False
    (unloaded,) = same(shop, [question("home")])

    assert unread.degraded == (Degradation.FEATURES_UNAVAILABLE,)
    assert unloaded.degraded == (Degradation.ITEM_FEATURES_UNAVAILABLE,)


def test_popular_items_are_made_again_from_the_list_of_that_time(
    bare_world: Any, tiny: ModuleType
) -> None:
    shop = Shop(bare_world, tiny)
    shop.happens(tiny.event(1, "ann", "purchase", [2], 100))
    bare_world.features.popular_items = tuple(
        PopularItem(f"i{row}", f"c{row % 6}", 1_000 + row) for row in range(12)
    )
    ((answer, made, at_us),) = shop.given(question("home"))
    bare_world.features.popular_items = (PopularItem("i5", "c5", 1),)
    ((other, _, _),) = shop.given(question("home"))

    assert "i2" not in {item.item_id for item in answer.items}
    assert len(answer.items) > len(other.items)
    assert answer.degraded == (Degradation.BUNDLE_UNAVAILABLE,)
    assert bytes_of(shop.again(answer, made, at_us)) == bytes_of(answer)


# What changes while an answer waits for its counts.


def test_an_item_that_arrives_while_the_counts_are_read_is_in_what_is_made_again(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The list that a cap empties is composed anew, as of where the items are by then."""

    async def taken(*_: object, **__: object) -> bool:
        shop.lists(shop.tiny.ITEMS + 7, stock=1)
        return False

    monkeypatch.setattr(shop.world.caps, "take", taken)

    (answer,) = same(shop, [question("push")])

    assert answer.items == ()


def test_items_that_were_not_exact_are_said_to_be_so_though_they_are_by_now(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = shop.world.features.items
    table._guards = {0: (LogPosition(0, 2**41, 0), None, None, None)}

    async def taken(*_: object, **__: object) -> bool:
        table._guards = {}
        return True

    monkeypatch.setattr(shop.world.caps, "take", taken)

    ((answer, made, _),) = shop.given(question("push"))

    assert answer.receipt.item_positions == made.item_positions == ()
    assert not made.exact
