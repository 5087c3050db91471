"""The whole answer in one process, and each rung of the fallback ladder."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from types import ModuleType
from typing import Any

import msgspec
import numpy as np
import pytest

from nearline.contracts.answer import Degradation, Recommendation, RecommendQuery, Scene
from nearline.contracts.event import EXPOSURE
from serving.features import PopularItem
from serving.turns import Overloaded


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


def ask(world: Any, customer_id: str = "ann", **more: Any) -> Recommendation:
    answer: Recommendation = run(world.answering.recommend(RecommendQuery(customer_id, **more)))
    return answer


def with_parts(world: Any, **parts: Any) -> None:
    """Put other parts into the bundle that answers."""
    world.shelf._held["1"] = replace(world.shelf.current, **parts)


@pytest.fixture
def shopped(world: Any, tiny: ModuleType) -> Any:
    """Ann viewed 3 and 9, put 9 into the cart and bought 4."""
    world.features.fold(
        [
            tiny.event(1, "ann", "view_item", [3], 300),
            tiny.event(2, "ann", "view_item", [9], 200),
            tiny.event(3, "ann", "purchase", [4], 100),
            tiny.event(4, "ann", "add_to_cart", [9], 2),
        ]
    )
    return world


def test_an_answer_carries_items_reasons_versions_and_a_receipt(shopped: Any, tiny: Any) -> None:
    answer = ask(shopped, k=5, scene=Scene.CART, item_ids=("i20",))

    assert [item.rank for item in answer.items] == [1, 2, 3, 4, 5]
    assert all(item.reasons and item.sources for item in answer.items)
    assert answer.scene == Scene.CART
    assert answer.versions.bundle == "1"
    assert answer.versions.rules == shopped.policy[-1].version
    assert answer.receipt.as_of_us == tiny.NOW_US
    assert answer.receipt.log_position.endswith("-4-0")  # the fourth event is in
    assert answer.receipt.newest_event_age_ms == 2_000
    assert answer.receipt.features_age_ms == 2_000
    assert answer.degraded == ()


def test_scores_fall_along_the_list(shopped: Any) -> None:
    scores = [item.score for item in ask(shopped, k=20).items]
    assert scores == sorted(scores, reverse=True)


def test_what_a_customer_does_changes_the_next_answer(world: Any, tiny: Any) -> None:
    before = [item.item_id for item in ask(world, "bob").items]

    world.features.fold([tiny.event(n, "bob", "add_to_cart", [n], 1) for n in (50, 51, 52)])

    assert [item.item_id for item in ask(world, "bob").items] != before


def test_purchased_and_excluded_items_are_withheld_and_counted(shopped: Any) -> None:
    answer = ask(shopped, k=100, exclude_item_ids=("i9", "i3", "i-unknown"))

    shown = {item.item_id for item in answer.items}
    assert not shown & {"i4", "i9", "i3"}
    effects = {effect.rule: effect.affected for effect in answer.rules}
    assert effects["never_purchased"] == 1
    assert effects["excluded"] == 2


def test_the_reasons_name_what_was_seen(shopped: Any) -> None:
    answer = ask(shopped, k=100)

    by_id = {item.item_id: item for item in answer.items}
    assert by_id["i9"].reasons[0].code == "viewed_before"
    similar = [
        reason
        for item in answer.items
        for reason in item.reasons
        if reason.code == "similar_to_viewed"
    ]
    assert {reason.item_id for reason in similar} <= {"i3", "i9", "i4"}
    assert all(reason.text_en and reason.text_zh for reason in similar)


def test_a_stranger_gets_popular_items_and_an_empty_receipt(world: Any) -> None:
    answer = ask(world, "nobody")

    assert {source for item in answer.items for source in item.sources} == {"popular"}
    assert answer.receipt.log_position == ""
    assert answer.receipt.newest_event_age_ms is None
    assert answer.degraded == ()


def test_a_fixed_instant_gives_the_same_answer_twice(shopped: Any, tiny: Any) -> None:
    first = ask(shopped, as_of_us=tiny.NOW_US)
    shopped.clock.advance(3_600_000_000)
    second = ask(shopped, as_of_us=tiny.NOW_US)

    assert first.response_id < second.response_id
    assert (first.items, first.rules, first.receipt) == (second.items, second.rules, second.receipt)


# The ladder.


def test_without_redis_a_strangers_answer_comes_from_the_bundle(shopped: Any) -> None:
    shopped.features.down = True

    answer = ask(shopped)

    assert len(answer.items) == 10
    assert answer.degraded == (Degradation.FEATURES_UNAVAILABLE,)


def test_without_item_features_the_answer_stays_personal(shopped: Any) -> None:
    shopped.items_loaded = False

    answer = ask(shopped, k=100)

    assert answer.degraded == (Degradation.ITEM_FEATURES_UNAVAILABLE,)
    assert "i4" not in {item.item_id for item in answer.items}
    assert any("revisit" in item.sources for item in answer.items)


def test_without_the_ranker_the_order_of_retrieval_stands(shopped: Any) -> None:
    ranked = ask(shopped)
    with_parts(shopped, ranker=None)

    answer = ask(shopped)

    assert answer.degraded == (Degradation.RANKER_UNAVAILABLE,)
    assert answer.items[0].item_id == "i9"  # cart and view: first by encoder, revisit, fusion
    assert len(answer.items) == len(ranked.items)


def test_a_bundle_without_a_ranker_is_served_in_the_order_of_retrieval(
    bare_world: Any, tiny: Any, tmp_path: Any
) -> None:
    folder = tiny.write(tmp_path / "2", ranker=False)
    bare_world.shelf.prepare("2", folder)
    bare_world.shelf.activate("2")

    answer = ask(bare_world)

    assert answer.degraded == (Degradation.RANKER_UNAVAILABLE,)
    assert len(answer.items) == 10


def test_a_failing_encoder_leaves_the_other_sources(shopped: Any) -> None:
    class Broken:
        def run(self, *_: object) -> None:
            raise RuntimeError("no such kernel")

    with_parts(shopped, finder=replace(shopped.shelf.current.finder, encoder=Broken()))

    answer = ask(shopped, k=100)

    assert answer.degraded == (Degradation.ENCODER_UNAVAILABLE,)
    sources = {source for item in answer.items for source in item.sources}
    assert "encoder" not in sources
    assert sources >= {"revisit", "popular"}


class BrokenIndex:
    ntotal = 40

    def search(self, *_: object) -> None:
        raise RuntimeError("no such page")


@pytest.mark.parametrize("scene", ["home", "detail", "detail_similar"])
def test_a_failing_index_leaves_the_other_sources(shopped: Any, scene: str) -> None:
    with_parts(shopped, finder=replace(shopped.shelf.current.finder, index=BrokenIndex()))

    answer = run(shopped.answering.recommend(RecommendQuery("ann", scene=scene, item_ids=("i7",))))

    assert answer.degraded == (Degradation.INDEX_UNAVAILABLE,)
    assert answer.items
    sources = {source for item in answer.items for source in item.sources}
    assert not sources & {"encoder", "similar"}


class Raising:
    """A part that raises whatever is asked of it."""

    ntotal = 40

    def __getattr__(self, _: str) -> Any:
        raise RuntimeError("this part is gone")


@pytest.mark.parametrize(
    ("part", "named"),
    [
        ("ranker", Degradation.RANKER_UNAVAILABLE),
        ("encoder", Degradation.ENCODER_UNAVAILABLE),
        ("index", Degradation.INDEX_UNAVAILABLE),
    ],
)
def test_a_part_that_goes_and_comes_back_under_load_costs_no_answer(
    shopped: Any, part: str, named: Degradation
) -> None:
    """Eight callers ask while it goes: each is answered, and told what was missing, no longer."""
    whole = shopped.shelf.current
    broken = (
        {"ranker": Raising()}
        if part == "ranker"
        else {"finder": replace(whole.finder, **{part: Raising()})}
    )
    seen: list[tuple[str, tuple[Degradation, ...], int]] = []

    async def caller(number: int, phase: str) -> None:
        for _ in range(5):
            answer = await shopped.answering.recommend(RecommendQuery("ann", k=5 + number))
            seen.append((phase, answer.degraded, len(answer.items) - 5 - number))

    async def story() -> None:
        for phase, parts in (("before", {}), ("gone", broken), ("after", {})):
            shopped.shelf._held["1"] = replace(whole, **parts)
            await asyncio.gather(*(caller(number, phase) for number in range(8)))

    run(story())

    assert len(seen) == 3 * 8 * 5
    assert {short for _, _, short in seen} == {0}
    told = {phase: {missing for one, missing, _ in seen if one == phase} for phase, _, _ in seen}
    assert told == {"before": {()}, "gone": {(named,)}, "after": {()}}


def test_without_a_bundle_the_last_backfills_popular_items_answer(
    bare_world: Any, tiny: Any
) -> None:
    bare_world.features.fold([tiny.event(1, "ann", "purchase", [2])])
    bare_world.features.popular_items = (
        PopularItem("i1", "c1", 500),
        PopularItem("i2", "c2", 600),
        PopularItem("i3", "c3", 700),
    )

    answer = ask(bare_world)

    assert [item.item_id for item in answer.items] == ["i1", "i3"]  # i2 was bought
    assert answer.items[0].price_cents == 500
    assert answer.degraded == (Degradation.BUNDLE_UNAVAILABLE,)
    assert answer.versions.bundle == ""


def test_popular_items_once_seen_outlive_redis(bare_world: Any) -> None:
    bare_world.features.popular_items = (PopularItem("i1", "c1", 500),)
    ask(bare_world)
    bare_world.features.down = True

    answer = ask(bare_world)

    assert [item.item_id for item in answer.items] == ["i1"]
    assert set(answer.degraded) == {
        Degradation.FEATURES_UNAVAILABLE,
        Degradation.BUNDLE_UNAVAILABLE,
    }


def test_with_nothing_at_all_the_list_is_empty_and_says_why(bare_world: Any) -> None:
    bare_world.features.down = True

    answer = ask(bare_world)

    assert answer.items == ()
    assert answer.degraded[-1] is Degradation.NOTHING_TO_RECOMMEND


def test_a_ranker_that_fails_or_answers_nonsense_leaves_the_order_of_retrieval(
    shopped: Any,
) -> None:
    class Broken:
        def scores(self, rows: Any) -> Any:
            raise RuntimeError("no such tree")

    class Nonsense:
        def scores(self, rows: Any) -> Any:
            return np.full(len(rows), np.nan, np.float32)

    for ranker in (Broken(), Nonsense()):
        with_parts(shopped, ranker=ranker)
        assert ask(shopped).degraded == (Degradation.RANKER_UNAVAILABLE,)


def test_after_a_fault_of_our_own_popular_items_answer_and_say_so(shopped: Any) -> None:
    class Broken:
        def __getattr__(self, name: str) -> Any:
            raise RuntimeError("a bug")

    finder = shopped.shelf.current.finder
    with_parts(shopped, finder=replace(finder, sources=replace(finder.sources, covisits=Broken())))
    shopped.features.popular_items = (PopularItem("i1", "c1", 500), PopularItem("i4", "c4", 1))

    answer = ask(shopped)

    assert [item.item_id for item in answer.items] == ["i1"]  # i4 was bought
    assert answer.degraded == (Degradation.ANSWER_FAILED, Degradation.BUNDLE_UNAVAILABLE)


def test_newcomers_that_cannot_be_put_beside_the_bundle_leave_popular_items(
    shopped: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ValueError("of two shapes")

    shopped.features.popular_items = (PopularItem("i1", "c1", 500), PopularItem("i4", "c4", 1))
    monkeypatch.setattr("serving.arrivals.Stock.of", broken)

    answer = ask(shopped)

    assert [item.item_id for item in answer.items] == ["i1"]  # i4 was bought
    assert answer.degraded == (Degradation.ANSWER_FAILED, Degradation.BUNDLE_UNAVAILABLE)


def test_when_the_time_is_up_the_ranker_is_left_out(shopped: Any) -> None:
    answer = run(shopped.answering.recommend(RecommendQuery("ann"), deadline_ms=1e-9))

    assert answer.degraded == (Degradation.RANKER_UNAVAILABLE, Degradation.DEADLINE)
    assert len(answer.items) == 10


def test_what_would_wait_too_long_is_refused_at_once_and_then_answered_again(
    shopped: Any,
) -> None:
    turns = shopped.answering._turns
    turns._waiting, turns._mean_ms = 10, 5.0  # Ten wait, at 5 ms each.

    with pytest.raises(Overloaded, match="answered after 55 ms; at most 40 ms"):
        run(shopped.answering.recommend(RecommendQuery("ann"), deadline_ms=40))
    turns._waiting = 0

    assert turns.refused == 1
    assert ask(shopped).degraded == ()


# Exposures.


def test_each_answer_leaves_an_exposure_that_shapes_no_feature(shopped: Any) -> None:
    async def story() -> Recommendation:
        answer = await shopped.answering.recommend(
            RecommendQuery("ann", Scene.DETAIL, k=3, item_ids=("i20",))
        )
        await shopped.exposures.close()
        return answer

    answer = run(story())

    (event,) = shopped.logged
    assert event.name == EXPOSURE
    assert event.response_id == answer.response_id
    assert [line.item_id for line in event.lines] == [item.item_id for item in answer.items]
    assert msgspec.json.decode(event.payload)["scene"] == "detail"
    assert event.consent == ("analytics",)
    assert not event.personalizes


def test_an_answer_as_of_a_stated_instant_was_shown_to_nobody(shopped: Any, tiny: Any) -> None:
    async def story() -> None:
        await shopped.answering.recommend(RecommendQuery("ann", as_of_us=tiny.NOW_US))
        await shopped.exposures.close()

    run(story())

    assert shopped.logged == []


def test_exposures_wait_for_a_log_that_is_away_and_the_answers_say_so(shopped: Any) -> None:
    async def story() -> list[Recommendation]:
        shopped.log_fails.append(True)
        answers = [await shopped.answering.recommend(RecommendQuery("ann"))]
        while not shopped.exposures.failing:
            await asyncio.sleep(0)
        answers.append(await shopped.answering.recommend(RecommendQuery("ann")))
        shopped.log_fails.append(False)
        assert await shopped.exposures.flush(5.0)
        answers.append(await shopped.answering.recommend(RecommendQuery("ann")))
        await shopped.exposures.close()
        return answers

    first, second, third = run(story())

    assert first.degraded == third.degraded == ()
    assert second.degraded == (Degradation.EXPOSURES_DELAYED,)
    assert [event.response_id for event in shopped.logged] == [
        first.response_id,
        second.response_id,
        third.response_id,
    ]


# Churn and tags.


def test_churn_scores_come_with_reasons_for_each_horizon(shopped: Any) -> None:
    answer = run(shopped.answering.churn("ann"))

    assert [score.horizon_days for score in answer.scores] == [14, 45]
    for score in answer.scores:
        assert 0.1 <= score.probability <= 0.9  # the ends of the tiny calibration curve
        assert score.reasons
        pulls = [abs(reason.contribution) for reason in score.reasons]
        assert pulls == sorted(pulls, reverse=True)
    assert answer.receipt.log_position


def test_nobody_is_told_about_the_churn_of_a_stranger(shopped: Any) -> None:
    answer = run(shopped.answering.churn("nobody"))

    assert answer.scores == ()
    assert answer.degraded == (Degradation.CUSTOMER_UNKNOWN,)


def test_no_chance_is_stated_of_a_customer_whom_the_model_was_not_calibrated_on(
    shopped: Any, tiny: Any
) -> None:
    # The model of 14 days speaks of customers seen within 30 days, that of 45 of everybody.
    days = 86_400_000_000
    before, after = (
        run(shopped.answering.churn("ann", tiny.NOW_US + since * days)) for since in (29, 31)
    )

    assert [score.horizon_days for score in before.scores] == [14, 45]
    assert before.degraded == ()
    assert [score.horizon_days for score in after.scores] == [45]
    assert after.degraded == (Degradation.OUTSIDE_COHORT,)


def test_churn_without_redis_or_bundle_is_empty_and_degraded(shopped: Any, bare_world: Any) -> None:
    shopped.features.down = True

    assert Degradation.CHURN_UNAVAILABLE in run(shopped.answering.churn("ann")).degraded
    assert Degradation.BUNDLE_UNAVAILABLE in run(bare_world.answering.churn("ann")).degraded


def test_tags_hold_at_the_instant_asked_for(shopped: Any, tiny: Any) -> None:
    now = run(shopped.answering.tags("ann"))
    tomorrow = run(shopped.answering.tags("ann", tiny.NOW_US + 86_400_000_000))

    assert {"active_now", "cart_waiting"} <= {tag.code for tag in now.tags}
    assert "active_now" not in {tag.code for tag in tomorrow.tags}


def test_tags_without_redis_are_empty_and_degraded(shopped: Any) -> None:
    shopped.features.down = True

    answer = run(shopped.answering.tags("ann"))

    assert answer.tags == ()
    assert answer.degraded == (Degradation.FEATURES_UNAVAILABLE,)
