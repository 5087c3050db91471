"""What is said of customers: by which models, of whom, and in whose way it must not stand."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from nearline.contracts import bundle as contract
from nearline.contracts.answer import Degradation, ScoresAnswer, ScoresQuery
from nearline.contracts.bundle import BundleRefused, Task
from nearline.errors import StoreUnavailable
from nearline.online import CustomerReading
from nearline.transforms import customer, lifetime
from nearline.transforms.buckets import DAY_US
from serving import score_models, score_reading
from serving.bundles import load
from serving.scores import foretell
from serving.turns import Overloaded, Turns


def ask(world: Any, *ids: str, **more: Any) -> tuple[ScoresAnswer, ...]:
    answers: tuple[ScoresAnswer, ...] = asyncio.run(
        world.answering.scores(ScoresQuery(ids, **more))
    )
    return answers


@pytest.fixture
def shopped(world: Any, tiny: ModuleType) -> Any:
    """Ann has looked and bought, Bob only looked, Cat was last here 40 days ago."""
    world.features.fold([tiny.event(n, "ann", "view_item", [n], 60 - n) for n in range(1, 9)])
    world.features.fold([tiny.event(9, "ann", "purchase", [9], 5)])
    world.features.fold([tiny.event(10, "bob", "view_item", [3], 5)])
    world.features.fold([tiny.event(11, "cat", "purchase", [3], 40 * 86_400)])
    return world


def test_all_scores_come_calibrated_with_reasons_value_and_date(shopped: Any, tiny: Any) -> None:
    (ann,) = ask(shopped, "ann")

    names = [score.name for score in ann.scores]
    assert names == [*tiny.SCORES[:3], *["category_demand_14d"] * (len(names) - 3)]
    demand = [score for score in ann.scores if score.task == Task.CATEGORY_DEMAND]
    assert {score.category for score in demand} == {f"c{row}" for row in range(6)}
    chances = [score.probability for score in demand]
    assert chances == sorted(chances, reverse=True)
    for score in ann.scores:
        assert 0.1 <= score.probability <= 0.9  # the ends of the tiny calibration curve
        assert score.reasons
        pulls = [abs(reason.contribution) for reason in score.reasons]
        assert pulls == sorted(pulls, reverse=True)
    assert ann.value is not None
    assert ann.value.horizon_days == 364
    assert ann.value.alive_probability == 1.0  # bought once
    assert (ann.calibrated_at, ann.calibrated_to) == (
        "2026-11-20T00:00:00Z",
        "2026-11-20T00:00:00Z",
    )
    assert ann.receipt.log_position
    assert ann.degraded == ()


def test_each_model_speaks_only_of_those_it_was_calibrated_on(shopped: Any) -> None:
    bob, cat, nobody = ask(shopped, "bob", "cat", "nobody")

    assert "repurchase" not in {score.task for score in bob.scores}  # has bought nothing yet
    assert (bob.value, bob.degraded) == (None, ())
    assert [score.name for score in cat.scores] == ["churn_45d"]  # the others: seen within 30 days
    assert cat.degraded == (Degradation.OUTSIDE_COHORT,)
    assert cat.value is not None
    assert (nobody.scores, nobody.value) == ((), None)
    assert nobody.degraded == (Degradation.CUSTOMER_UNKNOWN,)


def test_tasks_categories_and_reasons_narrow_what_is_told(shopped: Any) -> None:
    (ann,) = ask(
        shopped, "ann", tasks=("category_demand",), categories=("c2", "elsewhere"), reasons=False
    )

    assert [(score.category, score.reasons) for score in ann.scores] == [("c2", ())]


def test_a_batch_says_of_each_what_is_said_of_one(shopped: Any) -> None:
    ids = ["ann", "nobody", "cat", "ann", "bob"]

    together = ask(shopped, *ids)

    assert [answer.customer_id for answer in together] == ids
    for answer in together:
        (alone,) = ask(shopped, answer.customer_id)
        assert (answer.scores, answer.value, answer.degraded) == (
            alone.scores,
            alone.value,
            alone.degraded,
        )


def test_what_is_missing_has_a_name(shopped: Any, bare_world: Any) -> None:
    shopped.features.down = True
    (down,) = ask(shopped, "ann")
    (bare,) = ask(bare_world, "ann")

    assert down.degraded == (
        Degradation.FEATURES_UNAVAILABLE,
        Degradation.SCORES_UNAVAILABLE,
    )
    assert bare.degraded == (Degradation.BUNDLE_UNAVAILABLE, Degradation.SCORES_UNAVAILABLE)
    assert (bare.calibrated_at, bare.versions.bundle) == ("", "")


def test_models_that_a_bundle_does_not_bring_are_named_where_they_are_asked_for(
    shopped: Any, tiny: ModuleType
) -> None:
    held = shopped.shelf.current.scores
    churn = score_models.ScoreModels(held.of(Task.CHURN))
    states = [customer.state_of(tiny.event(1, "ann", "purchase", [1]))]

    def missing(*tasks: str) -> tuple[Degradation, ...]:
        (told,) = foretell(churn, states, tiny.NOW_US, ScoresQuery(("ann",), tasks))
        return told.missing

    assert missing() == missing("churn") == (Degradation.LIFETIME_UNAVAILABLE,)
    assert missing("churn", "repurchase")[0] is Degradation.SCORES_UNAVAILABLE


def test_a_value_is_not_guessed_from_rows_that_kept_no_days(shopped: Any, tiny: Any) -> None:
    whole = customer.state_of(tiny.event(1, "ann", "purchase", [1]))
    old = replace(whole, purchase_days=())

    known, unknown = foretell(
        shopped.shelf.current.scores, [whole, old], tiny.NOW_US, ScoresQuery(("a", "b"))
    )

    assert known.value is not None
    assert unknown.value is None
    assert unknown.missing == (Degradation.LIFETIME_UNAVAILABLE,)
    assert known.scores == unknown.scores


def test_a_value_is_the_weeks_purchases_times_their_worth(shopped: Any, tiny: Any) -> None:
    state = customer.fold(
        tiny.event(n, "ann", "purchase", [1], ago_s=n * 20 * 86_400) for n in range(1, 6)
    )
    (told,) = foretell(shopped.shelf.current.scores, [state], tiny.NOW_US, ScoresQuery(("ann",)))

    seen = lifetime.summary_of([state], tiny.NOW_US)
    means = lifetime.mean_cents_of([state])
    assert told.value is not None
    assert told.value.value_cents == pytest.approx(
        tiny.LIFETIME.value_cents(seen, means, 52, 0.0)[0], rel=1e-12
    )


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # what is not finite warns first
@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda folder: (folder / contract.CATEGORY_SHARES).unlink(), "cannot be used"),
        (
            lambda folder: (folder / contract.LIFETIME).write_text('{"bg_nbd": {"r": 1}}'),
            "cannot be used",
        ),
        (
            lambda folder: (folder / contract.LIFETIME).write_text(
                json.dumps({"bg_nbd": {"r": -1e9, "alpha": -5.0, "a": 0.5, "b": 0.5}})
            ),
            "not finite",
        ),
        (
            lambda folder: (folder / contract.CALIBRATION).write_text(
                json.dumps({"churn_14d": {"x": [0.0, 1.0], "y": [0.0, 1.0]}})
            ),
            "cannot be used",
        ),
    ],
)
def test_scores_that_cannot_be_told_do_not_serve(
    tiny: ModuleType, tmp_path: Path, change: Any, why: str
) -> None:
    folder = tiny.write(tmp_path / "1")
    specs = contract.verify(folder, "1").scores
    change(folder)
    (folder / contract.MANIFEST).unlink()
    tiny.seal(folder, specs)

    with pytest.raises(BundleRefused, match=why):
        load(folder, "1")


def test_features_that_this_code_does_not_have_are_named(tiny: ModuleType, tmp_path: Path) -> None:
    folder = tiny.write(tmp_path / "1")
    spec = contract.verify(folder, "1").scores[0]
    (folder / contract.MANIFEST).unlink()
    odd = contract.ScoreSpec(spec.name, spec.task, 14, spec.file, ["moon_phase"])
    tiny.seal(folder, [odd])

    with pytest.raises(BundleRefused, match=r"churn_14d needs features .*moon_phase"):
        load(folder, "1")


def test_a_model_may_read_some_features_in_an_order_of_its_own(
    shopped: Any, tiny: ModuleType
) -> None:
    whole = shopped.shelf.current.scores.models[0]
    trees = tiny._train(np.random.default_rng(1), 2, "binary:logistic")
    part = replace(whole, columns=[3, 1], booster=trees)
    rows = np.random.default_rng(2).normal(size=(5, len(whole.columns))).astype(np.float32)

    assert part.features == (whole.features[3], whole.features[1])
    assert part.contributions(rows).shape == (5, 2)
    picked = score_models.scores_of(part.booster, np.ascontiguousarray(rows[:, [3, 1]]))
    np.testing.assert_array_equal(
        part.probabilities(rows), np.interp(picked, part.calibration_x, part.calibration_y)
    )


class Store:
    """Customers that read at once; `gone` cannot be read by this version."""

    def __init__(self, world: Any) -> None:
        self.world, self.asked = world, list[int]()

    async def customers(self, ids: Sequence[str]) -> list[CustomerReading | None]:
        self.asked.append(len(ids))
        return [None if one == "gone" else await self.world.features.customer(one) for one in ids]


def test_one_row_that_cannot_be_read_does_not_make_the_others_fail(shopped: Any) -> None:
    scores = score_reading.Scores(Store(shopped), shopped.shelf, Turns(5_000))

    ann, gone = asyncio.run(scores.read(ScoresQuery(("ann", "gone")), shopped.clock.now_us(), 1e4))

    assert ann.foretold.scores
    assert gone.foretold.missing[0] is Degradation.FEATURES_UNAVAILABLE


def test_a_batch_takes_turns_in_slices_so_that_others_come_between(shopped: Any) -> None:
    turns, between = Turns(5_000), list[int]()
    store = Store(shopped)
    scores = score_reading.Scores(store, shopped.shelf, turns)
    query = ScoresQuery(tuple(["ann"] * 150))

    async def story() -> list[Any]:
        batch = asyncio.create_task(scores.read(query, shopped.clock.now_us(), 1e5))
        while not batch.done():
            async with turns.turn():
                between.append(len(store.asked))
            await asyncio.sleep(0)
        return await batch

    found = asyncio.run(story())

    assert len(found) == 150
    assert store.asked[0] == score_reading._FIRST
    assert len(store.asked) >= 4
    assert len(set(between)) >= 3  # somebody had a turn while slices were still to come


def test_a_batch_gives_way_while_more_is_asked_than_can_be_answered(
    shopped: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Busy(Turns):
        left = 3

        def turn(self, limit_ms: float | None = None) -> Any:
            self.left -= 1
            if self.left >= 0:
                raise Overloaded(9, 900.0, 150.0)
            return super().turn(limit_ms)

    monkeypatch.setattr(score_reading, "_GIVE_WAY_S", 0.001)
    now_us = shopped.clock.now_us()

    def read(limit_ms: float, *ids: str) -> list[Any]:
        scores = score_reading.Scores(Store(shopped), shopped.shelf, Busy(5_000))
        found: list[Any] = asyncio.run(scores.read(ScoresQuery(ids), now_us, limit_ms))
        return found

    assert [bool(one.foretold.scores) for one in read(10_000, "ann", "bob")] == [True, True]
    with pytest.raises(Overloaded):
        read(10_000, "ann")  # one question is refused at once, like a recommendation
    with pytest.raises(Overloaded):
        read(0.5, "ann", "bob")


def test_whom_the_time_does_not_suffice_for_is_told_so(shopped: Any) -> None:
    scores = score_reading.Scores(Store(shopped), shopped.shelf, Turns(5_000))

    found = asyncio.run(scores.read(ScoresQuery(("ann",) * 50), shopped.clock.now_us(), 0.001))

    assert len(found) == 50
    assert found[0].foretold.scores
    assert found[-1].foretold.missing == (
        Degradation.SCORES_UNAVAILABLE,
        Degradation.DEADLINE,
    )


def test_models_that_raise_are_named_and_no_error_page(shopped: Any) -> None:
    class Broken:
        def __getattr__(self, name: str) -> Any:
            raise RuntimeError("a bug")

    shopped.shelf._held["1"] = replace(shopped.shelf.current, scores=Broken())

    found = asyncio.run(shopped.answering.scores(ScoresQuery(("ann", "bob"))))
    churn = asyncio.run(shopped.answering.churn("ann"))

    for one in found:
        assert (one.scores, one.value) == ((), None)
        assert one.degraded == (Degradation.SCORES_UNAVAILABLE, Degradation.ANSWER_FAILED)
    assert churn.degraded == (Degradation.CHURN_UNAVAILABLE, Degradation.ANSWER_FAILED)


def test_a_store_that_is_down_names_it_for_each(shopped: Any) -> None:
    class Down:
        async def customers(self, ids: Sequence[str]) -> list[CustomerReading | None]:
            raise StoreUnavailable("Redis", "its address", "silent")

    scores = score_reading.Scores(Down(), shopped.shelf, Turns(5_000))  # type: ignore[arg-type]

    found = asyncio.run(scores.read(ScoresQuery(("ann", "bob")), shopped.clock.now_us(), 1e4))

    assert [one.foretold.missing[0] for one in found] == [Degradation.FEATURES_UNAVAILABLE] * 2


def test_whatever_a_customer_did_every_chance_is_one_and_no_rule_of_cohort_breaks(
    shopped: Any, tiny: ModuleType
) -> None:
    generator = random.Random(7)
    names = ("view_item", "add_to_cart", "purchase", "add_to_wishlist")
    held = shopped.shelf.current.scores
    states = [
        customer.fold(
            tiny.event(
                n, "x", generator.choice(names), [generator.randrange(60)],
                generator.randrange(60 * 86_400),
            )
            for n in range(generator.randrange(30))
        )
        for _ in range(200)
    ]  # fmt: skip

    told = foretell(held, states, tiny.NOW_US, ScoresQuery(("x",) * 200, reasons=False))

    for state, one in zip(states, told, strict=True):
        assert all(0.0 <= score.probability <= 1.0 for score in one.scores)
        seen = bool(state.first_seen_us)
        lately = seen and tiny.NOW_US - state.last_seen_us < 30 * DAY_US
        said = {score.name for score in one.scores}
        assert ("churn_45d" in said) == seen
        assert ("churn_14d" in said) == lately
        assert ("repurchase_14d" in said) == (lately and state.orders_total > 0)
        assert (Degradation.OUTSIDE_COHORT in one.missing) == (seen and not lately)
        assert (Degradation.CUSTOMER_UNKNOWN in one.missing) == (not seen)
        assert (one.value is not None) == (state.orders_total > 0)
