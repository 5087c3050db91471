"""What is told of an answer made again: the same only where it is, and else how it differs."""

from __future__ import annotations

import random
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest

from nearline import history
from nearline.contracts.answer import Chosen, Degradation, Recommendation, RecommendQuery
from nearline.contracts.event import Event, decode_event, encode_event
from nearline.contracts.position import LogPosition, partition_of
from nearline.errors import StoreUnavailable
from nearline.online import CustomerReading
from nearline.transforms import customer
from serving import answers
from serving.bundles import Bundle, load
from serving.comparing import Replayed, compared
from serving.features import PopularItem
from serving.keeping import POPULAR, popular_of
from serving.made import Made, bytes_of, made_in
from serving.policy.load import shipped
from serving.policy.model import Policy
from serving.remaking import Known, fold, remade
from tests.unit.serving.test_remaking import Shop, question

Given = tuple[Recommendation, Event]


@pytest.fixture(autouse=True)
def english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEARLINE_LANG", "en")


@pytest.fixture
def shop(world: Any, tiny: ModuleType) -> Shop:
    """Ann and twenty others have been there; the shipped scenes, with their chance."""
    world.policy.append(shipped())
    made, chance = Shop(world, tiny), random.Random(4)
    for number in range(240):
        who = "ann" if number % 6 == 0 else f"other-{number % 20}"
        name = chance.choice(["view_item", "view_item", "add_to_cart", "purchase"])
        made.happens(
            tiny.event(number, who, name, [chance.randrange(60)], chance.uniform(10, 900_000))
        )
    return made


def told(shop: Shop, *queries: RecommendQuery) -> list[Given]:
    """Answers, each with its exposure as it lies on the log."""
    given = [answer for answer, _, _ in shop.given(*queries)]
    on_log = {event.response_id: decode_event(encode_event(event)) for event in shop.world.logged}
    return [(answer, on_log[answer.response_id]) for answer in given]


def again(
    shop: Shop,
    exposure: Event,
    *,
    bundle: Bundle | None = None,
    policy: Policy | None = None,
    made: Made | None = None,
    response_id: str = "",
) -> Replayed:
    made = made or kept(exposure)
    known = Known(made, exposure.occurred_at_us)
    fold(known, shop.log)
    popular = shop.world.keeper._held.get((POPULAR, made.popular), b"[]")
    found = remade(
        response_id or exposure.response_id or "",
        known,
        bundle or (shop.world.shelf.get(made.bundle) if made.bundle else None),
        policy or shop.world.policy[-1],
        popular_of(popular),
    )
    return compared(exposure, made, found.answer, len(shop.log))


def kept(exposure: Event) -> Made:
    made = made_in(exposure)
    assert made is not None
    return made


def same(shop: Shop, given: Given) -> None:
    answer, exposure = given
    found = again(shop, exposure)
    assert (found.equal, found.difference) == (True, "")
    assert bytes_of(found.answer) == bytes_of(answer)


def test_what_is_kept_of_an_answer_comes_back_whole_from_log_and_history(shop: Shop) -> None:
    asked = question("detail", explain=True, exclude_item_ids=("i3", "商品/\u2028"))
    ((_, exposure),) = told(shop, asked)
    position = LogPosition(0, 1, 0)
    (archived,) = history.events_of(history.table_of([exposure], [position]))

    assert kept(exposure).query == asked
    assert kept(archived) == kept(exposure) == kept(shop.world.logged[-1])


def test_an_exposure_of_an_earlier_version_keeps_nothing(shop: Shop) -> None:
    ((_, exposure),) = told(shop, question("home"))

    assert made_in(msgspec.structs.replace(exposure, payload='{"scene": "home"}')) is None


def test_one_event_more_is_told_with_the_place_from_which_the_list_differs(
    shop: Shop, tiny: ModuleType
) -> None:
    ((answer, exposure),) = told(shop, question("home"))
    same(shop, (answer, exposure))
    first = answer.items[0].item_id
    # Imported history: it lies under every row, from the moment that it is there.
    bought = tiny.event(9_000, "ann", "purchase", [int(first[1:])], 500)
    shop.log.append((bought, None))

    found = again(shop, exposure)

    assert not found.equal
    assert first not in {item.item_id for item in found.answer.items}
    assert found.difference.startswith("DIFFERENT: from place 1 on the list is [")
    assert f"it was ['{first}'" in found.difference
    assert "imported, erased or changed" in found.difference


def test_one_event_less_is_told_too(shop: Shop) -> None:
    ((_, exposure),) = told(shop, question("home"))
    newest = max(at for at, (event, _) in enumerate(shop.log) if event.customer_id == "ann")
    shop.log.pop(newest)

    assert not again(shop, exposure).equal


def test_another_bundle_or_other_rules_are_told(
    shop: Shop, tiny: ModuleType, tmp_path: Path
) -> None:
    ((_, exposure),) = told(shop, question("home"))
    other = load(tiny.write(tmp_path / "other", seed=9), "1")
    rules = shipped().rules
    banned = frozenset(line.item_id for line in exposure.lines[:1])
    stricter = msgspec.structs.replace(
        shipped(), rules=msgspec.structs.replace(rules, banned=rules.banned | banned)
    )

    assert "DIFFERENT: from place" in again(shop, exposure, bundle=other).difference
    assert "DIFFERENT: from place 1 on" in again(shop, exposure, policy=stricter).difference


def test_the_same_list_of_other_bytes_is_told_in_the_readers_language(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    ((_, exposure),) = told(shop, question("home"))
    tampered = msgspec.structs.replace(kept(exposure), digest="0" * 32)

    found = again(shop, exposure, made=tampered)
    monkeypatch.setenv("NEARLINE_LANG", "zh")
    in_chinese = again(shop, exposure, made=tampered)

    assert not found.equal
    assert found.difference.startswith("DIFFERENT: the same items in the same order, but other")
    assert in_chinese.difference.startswith("不一致：商品及顺序相同")


def test_arrivals_stand_in_the_order_in_which_they_were_first_known(
    shop: Shop, tiny: ModuleType
) -> None:
    for number, (row, ago_s) in enumerate([(66, 50), (72, 40), (78, 30), (66, 20), (72, 9)]):
        shop.happens(tiny.event(7_000 + number, "other-1", "view_item", [row], ago_s))
    assert shop.world.features.items.arrivals[:3] == ("i78", "i72", "i66")

    ((answer, exposure),) = told(shop, question("marketing", k=50, explain=True))

    ranks = {
        item.item_id: item.explanation.source_ranks["arrivals"]
        for item in answer.items
        if item.explanation is not None and "arrivals" in item.explanation.source_ranks
    }
    # Of one category and one price band, so nothing else tells them apart.
    assert sorted(ranks, key=ranks.__getitem__) == ["i78", "i72", "i66"]
    same(shop, (answer, exposure))


def test_chance_comes_from_the_answers_id(shop: Shop) -> None:
    given = told(shop, *[question("guess_you_like")] * 20)
    for one in given:
        same(shop, one)
    explored = [
        exposure
        for answer, exposure in given
        if any(effect.rule == "exploration" for effect in answer.rules)
    ]

    assert explored
    others = [again(shop, one, response_id=one.response_id[:12] + "5" * 20) for one in explored]
    assert any(other.difference.startswith("DIFFERENT: from place") for other in others)


def test_a_challengers_answer_is_made_again_by_the_challengers_bundle(
    shop: Shop, tiny: ModuleType, tmp_path: Path
) -> None:
    shelf = shop.world.shelf
    unavailable, *_ = told(shop, question("home", bundle=Chosen.CHALLENGER))
    shelf.prepare("2", tiny.write(tmp_path / "2", seed=9))
    shelf.challenge("2")
    challenged, championed = told(
        shop, question("home", bundle=Chosen.CHALLENGER), question("home", bundle=Chosen.CHAMPION)
    )
    shelf.activate("2")  # It won since.
    shelf.challenge("")

    assert unavailable[0].degraded == (Degradation.CHALLENGER_UNAVAILABLE,)
    assert [kept(one[1]).bundle for one in (unavailable, challenged, championed)] == ["1", "2", "1"]
    for one in (unavailable, challenged, championed):
        same(shop, one)
    assert not again(shop, challenged[1], bundle=shelf.get("1")).equal


def test_what_could_not_be_waited_for_or_logged_is_said_again(shop: Shop) -> None:
    partition = partition_of("ann", shop.world.features.partitions)
    shop.world.exposures.failing = True

    ((answer, exposure),) = told(
        shop, question("home", min_position=f"{partition}-{2**41}-0", max_wait_ms=0)
    )

    assert set(answer.degraded) == {Degradation.STALE, Degradation.EXPOSURES_DELAYED}
    same(shop, (answer, exposure))


def test_without_personalization_nothing_of_the_customer_is_folded(shop: Shop) -> None:
    ((answer, exposure),) = told(shop, question("home", personalized=False))
    shop.log = [pair for pair in shop.log if pair[0].customer_id != "ann"] + [
        (event, None) for event, _ in shop.log if event.customer_id == "ann"
    ]

    made = kept(exposure)
    assert made.stranger
    assert Known(made, 1).reading().state == customer.EMPTY
    known = Known(made, exposure.occurred_at_us)
    fold(known, shop.log)
    assert known.reading().state == customer.EMPTY
    assert answer.receipt.log_position == ""


def imported(world: Any, tiny: ModuleType) -> Shop:
    """Ann is known from imported history alone, which has no place on the log."""
    shop = Shop(world, tiny)
    events = [tiny.event(1, "ann", "purchase", [2], 900), tiny.event(2, "ann", "view_item", [3])]
    shop.log += [(event, None) for event in events]
    world.features._customers["ann"] = CustomerReading(
        customer.fold(events), events[-1].known_at_us, None
    )
    world.features.popular_items = tuple(
        PopularItem(f"i{row}", f"c{row % 6}", 1_000 + row) for row in range(12)
    )
    return shop


def test_a_customer_who_was_read_before_the_store_went_away_is_read_again(
    bare_world: Any, tiny: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = imported(bare_world, tiny)
    told(shop, question("home"))  # The list of popular items was seen once.

    async def away() -> None:
        raise StoreUnavailable("memory", "this process", "went away")

    monkeypatch.setattr(bare_world.features, "popular", away)
    ((answer, exposure),) = told(shop, question("home"))

    assert Degradation.FEATURES_UNAVAILABLE in answer.degraded
    assert answer.items
    assert "i2" not in {item.item_id for item in answer.items}  # bought
    same(shop, (answer, exposure))


def test_a_customer_who_could_not_be_read_is_not_read_again(
    bare_world: Any, tiny: ModuleType
) -> None:
    shop = imported(bare_world, tiny)
    told(shop, question("home"))
    bare_world.features.down = True

    ((answer, exposure),) = told(shop, question("home"))

    assert "i2" in {item.item_id for item in answer.items}  # That it was bought was unknown.
    same(shop, (answer, exposure))


def test_the_last_resort_is_made_again_empty(
    world: Any, tiny: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop, compose, asked = imported(world, tiny), answers.compose, []

    def failing(inputs: Any, *more: Any) -> Any:
        asked.append(inputs)
        if len(asked) < 3:
            raise RuntimeError("a bug")
        return compose(inputs, *more)

    monkeypatch.setattr(answers, "compose", failing)
    ((answer, exposure),) = told(shop, question("home"))

    assert answer.items == ()
    assert answer.degraded[0] is Degradation.ANSWER_FAILED
    assert answer.receipt.newest_event_at_us == 0
    same(shop, (answer, exposure))
