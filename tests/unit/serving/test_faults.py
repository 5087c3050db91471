"""What a fault costs: the part that it is in, by its name, and nothing beside it."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from nearline.contracts.answer import (
    Chosen,
    Degradation,
    Recommendation,
    RecommendQuery,
    ScoresAnswer,
    ScoresQuery,
)
from serving import composing, foretelling
from serving.features import PopularItem
from serving.metrics import MeasuredAnswers, Metrics
from serving.score_models import ScoreModel
from tests.unit.serving.mute import SECRET, Mute

SILENT = Degradation.EXPLANATIONS_UNAVAILABLE
LOST = (Degradation.SCORES_UNAVAILABLE, Degradation.ANSWER_FAILED)


@pytest.fixture
def shopped(world: Any, tiny: ModuleType) -> Any:
    """Ann, bob and cat were here today; bob has bought."""
    world.features.fold(
        [
            tiny.event(1, "ann", "view_item", [3], 300),
            tiny.event(2, "bob", "purchase", [9], 200),
            tiny.event(3, "cat", "add_to_cart", [4], 100),
            tiny.event(4, "ann", "add_to_cart", [9], 2),
        ]
    )
    return world


# Why an item is there.


def ask(world: Any, **more: Any) -> Recommendation:
    answer: Recommendation = asyncio.run(
        world.answering.recommend(RecommendQuery("ann", explain=True, **more))
    )
    return answer


def ids(answer: Recommendation) -> list[str]:
    return [item.item_id for item in answer.items]


def broken(*_: object) -> None:
    raise RuntimeError(f"a bug met {SECRET}")


@pytest.mark.parametrize("fault", ["it raises", "no numbers", "reasons"])
def test_a_list_that_cannot_be_explained_is_the_same_list_without_explanations(
    shopped: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, fault: str
) -> None:
    whole = ask(shopped)
    bundle = shopped.shelf.current
    if fault == "reasons":
        monkeypatch.setattr(composing, "reasons_for", broken)
    else:
        mute = Mute(bundle.ranker, None if fault == "it raises" else np.nan)
        shopped.shelf._held["1"] = replace(bundle, ranker=mute)

    with caplog.at_level(logging.INFO):
        answer = ask(shopped)

    assert (whole.degraded, answer.degraded) == ((), (SILENT,))
    assert all(item.reasons and item.explanation for item in whole.items)
    assert answer.items == tuple(
        replace(item, reasons=() if fault == "reasons" else item.reasons, explanation=None)
        for item in whole.items
    )
    assert answer.rules == whole.rules
    (line,) = [record.getMessage() for record in caplog.records if "of an answer" in record.msg]
    assert f"the {'reasons' if fault == 'reasons' else 'explanations'} of" in line
    assert "composing.py" in line
    assert SECRET not in caplog.text


def test_whoever_asks_for_no_explanation_does_not_meet_its_fault(shopped: Any) -> None:
    bundle = shopped.shelf.current
    shopped.shelf._held["1"] = replace(bundle, ranker=Mute(bundle.ranker))

    answer = asyncio.run(shopped.answering.recommend(RecommendQuery("ann")))

    assert answer.degraded == ()
    assert all(item.reasons for item in answer.items)


def test_popular_items_come_without_their_reasons_too(
    bare_world: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare_world.features.popular_items = (PopularItem("i1", "c1", 500), PopularItem("i2", "c2", 1))
    monkeypatch.setattr(composing, "reasons_for", broken)

    answer = ask(bare_world)

    assert ids(answer) == ["i1", "i2"]
    assert answer.degraded == (Degradation.BUNDLE_UNAVAILABLE, SILENT)


def test_an_answer_without_explanations_is_counted_by_its_bundle(shopped: Any) -> None:
    bundle = shopped.shelf.current
    shopped.shelf._held["1"] = replace(bundle, ranker=Mute(bundle.ranker))
    metrics = Metrics(shopped.exposures)
    answers = MeasuredAnswers(shopped.answering, metrics)

    asyncio.run(answers.recommend(RecommendQuery("ann", explain=True)))

    counted = {
        (sample.labels["answer"], sample.labels["missing"], sample.labels["bundle_role"])
        for family in text_string_to_metric_families(metrics.text().decode())
        for sample in family.samples
        if sample.name == "nearline_degraded_total" and sample.value
    }
    assert counted == {("recommend", SILENT.value, Chosen.CHAMPION.value)}


# What a customer will do.


def scores(world: Any, *names: str) -> tuple[ScoresAnswer, ...]:
    found: tuple[ScoresAnswer, ...] = asyncio.run(world.answering.scores(ScoresQuery(names)))
    return found


def told(answer: ScoresAnswer) -> tuple[Any, ...]:
    return answer.customer_id, answer.scores, answer.value, answer.degraded


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """All that the models are asked about, row by row."""
    foretell, found = foretelling.foretell, list[Any]()

    def asking(models: Any, states: Sequence[Any], as_of_us: int, query: ScoresQuery) -> Any:
        found.extend(states)
        return foretell(models, states, as_of_us, query)

    monkeypatch.setattr(foretelling, "foretell", asking)
    return found


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # of the logarithm of what is below 0
def test_a_row_that_makes_no_number_costs_its_own_customers_scores_alone(
    shopped: Any, asked: list[Any]
) -> None:
    names = ("ann", "cat", "ann", "bob", "cat", "ann", "cat")
    alone = {name: told(scores(shopped, name)[0]) for name in set(names)}
    assert alone["bob"][2] is not None
    held = shopped.features._customers
    days = ((90_000, 1), (0, 1))  # The last day of purchases before the first.
    state = replace(held["bob"].state, purchase_days=days, orders_total=2)
    held["bob"] = replace(held["bob"], state=state)
    asked.clear()

    found = [told(one) for one in scores(shopped, *names)]

    assert len(asked) == len(names)  # Who can be scored is not scored again for bob's sake.
    assert found == [("bob", (), None, LOST) if name == "bob" else alone[name] for name in names]


@pytest.mark.parametrize("everywhere", [False, True])
def test_scores_whose_reasons_cannot_be_told_are_told_without_and_logged_once(
    shopped: Any,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    everywhere: bool,
) -> None:
    names = ("ann", "bob", "cat", "ann")
    whole = scores(shopped, *names)
    bob = shopped.features._customers["bob"].state
    foretell = foretelling.foretell

    def mute(models: Any, states: Sequence[Any], as_of_us: int, query: ScoresQuery) -> Any:
        if query.reasons and (everywhere or bob in states):
            broken()
        return foretell(models, states, as_of_us, query)

    monkeypatch.setattr(foretelling, "foretell", mute)
    with caplog.at_level(logging.INFO):
        found = scores(shopped, *names)

    for before, after in zip(whole, found, strict=True):
        hit = everywhere or after.customer_id == "bob"
        assert after.degraded == (*before.degraded, *((SILENT,) if hit else ()))
        assert after.value == before.value
        assert after.scores == tuple(
            replace(one, reasons=()) if hit else one for one in before.scores
        )
    assert len([record for record in caplog.records if "scores failed" in record.msg]) == 1
    assert SECRET not in caplog.text


@pytest.mark.parametrize("pull", [np.nan, np.inf])
def test_a_reason_that_is_no_number_costs_its_own_customers_reasons_alone(
    shopped: Any, asked: list[Any], monkeypatch: pytest.MonkeyPatch, pull: float
) -> None:
    names = ("ann", "cat", "bob")
    whole = scores(shopped, *names)
    contributions = ScoreModel.contributions

    def unsound(model: ScoreModel, rows: Any) -> Any:
        found = contributions(model, rows)
        if model.name == "churn_45d":
            found[-1] = pull
        return found

    monkeypatch.setattr(ScoreModel, "contributions", unsound)
    asked.clear()
    ann, cat, bob = scores(shopped, *names)

    assert [told(one) for one in (ann, cat)] == [told(one) for one in whole[:2]]
    assert bob.degraded == (*whole[2].degraded, SILENT)
    assert bob.scores == tuple(replace(one, reasons=()) for one in whole[2].scores)
    assert bob.value == whole[2].value
    assert len(asked) == len(names)


# What is told of it.


def test_the_page_of_degraded_has_a_row_for_every_word_and_no_other() -> None:
    page = (Path(__file__).parents[3] / "docs" / "degraded.md").read_text()

    rows = re.findall(r"^\| `(\w+)` \| \S", page, re.MULTILINE)
    assert sorted(rows) == sorted(["degraded", *Degradation])
