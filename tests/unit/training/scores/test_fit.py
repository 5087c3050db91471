"""Learning a score, and refusing to with a sentence."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nearline.contracts.event import Event
from nearline.transforms.buckets import DAY_US
from tests.unit.training.histories import START_US, met, two_tastes
from tests.unit.training.leaks.naive import NaiveStates
from training.config import ChurnConfig
from training.datasets import Dataset, IdMap, Interactions
from training.scores.fit import LeftOut, ScoreModel, fit
from training.scores.questions import CategoryDemand, Churn, Repurchase

CONFIG = ChurnConfig(
    snapshot_step_days=4.0, max_snapshots=3, trees=20, folds=2, min_class_rows=3, smallest_leaf=1.0
)  # fmt: skip
_KINDS = {"view_item": 1, "add_to_cart": 2, "purchase": 3}


def _half(item_id: str) -> str:
    return "left" if item_id < "i20" else "right"


def shop(events: list[Event]) -> tuple[Dataset, NaiveStates]:
    """Single-line events as a dataset and as states."""
    told = [
        met(event.customer_id, item_id, event.occurred_at_us, name=event.name,
            category=_half(item_id))
        for event in events if event.name in _KINDS
        for item_id in (event.lines[0].item_id,)
    ]  # fmt: skip
    customers = tuple(sorted({event.customer_id for event in told}))
    items = tuple(sorted({event.lines[0].item_id for event in told}))
    at_us = np.array([event.occurred_at_us for event in told], np.int64)
    who = {name: row for row, name in enumerate(customers)}
    what = {name: row for row, name in enumerate(items)}
    interactions = Interactions(
        np.array([who[event.customer_id] for event in told], np.int64),
        np.array([what[event.lines[0].item_id] for event in told], np.int64),
        np.array([_KINDS[event.name] for event in told], np.int64),
        at_us,
        at_us,
    )
    categories = tuple(map(_half, items))
    dataset = Dataset(
        interactions, customers, IdMap(items), categories, (0,) * len(items), (0,) * len(items),
        int(at_us.min()), int(at_us.max()),
    )  # fmt: skip
    return dataset, NaiveStates(told)


@pytest.fixture(scope="module")
def busy() -> tuple[Dataset, NaiveStates]:
    return shop(two_tastes(customers=90))


def uncategorized(event: Event) -> Event:
    """The same event, of no category."""
    return met(event.customer_id, event.lines[0].item_id, event.occurred_at_us, name=event.name)


def taught(found: ScoreModel | LeftOut) -> ScoreModel:
    assert isinstance(found, ScoreModel), found
    return found


@pytest.mark.parametrize("question", [Churn(7, 10), Repurchase(5, 20)])
def test_a_score_is_judged_by_time_and_says_how_good_it_is(
    busy: tuple[Dataset, NaiveStates], question: Churn | Repurchase
) -> None:
    model = taught(fit(question, *busy, CONFIG, seed=1, threads=1))

    figures = {name.removeprefix(f"{model.name}_"): value for name, value in model.metrics.items()}
    assert figures["temporal"] == 1.0
    assert {"auc", "ap", "ece", "brier", "recency_auc", "recall_at_alert"} <= set(figures)
    assert all(np.isfinite(value) for value in figures.values())
    curves = model.curves[model.name]
    assert len(curves["chance"]) == len(curves["seen"])
    assert len(curves["alert_rate"]) == len(curves["recall"]) == len(curves["precision"])
    assert sum(curves["rows"]) == figures["test_rows"]


def test_a_history_of_less_than_two_horizons_parts_customers_and_judges_all(
    busy: tuple[Dataset, NaiveStates],
) -> None:
    model = taught(fit(Churn(14, 10), *busy, CONFIG, seed=1, threads=1))

    dataset = busy[0]
    active, _ = Churn(14, 10).cohort(dataset.interactions, dataset.to_us - 14 * DAY_US)
    assert model.metrics["churn_14d_temporal"] == 0.0
    assert model.metrics["churn_14d_test_rows"] == len(active)


def test_the_truth_says_whom_warnings_reach_and_teaches_nothing(
    busy: tuple[Dataset, NaiveStates],
) -> None:
    dataset = busy[0]
    left = dict.fromkeys(dataset.customer_ids[::3], dataset.from_us)

    blind, told = (
        taught(fit(Churn(7, 10), *busy, CONFIG, seed=1, threads=1, left_at_us=truth))
        for truth in (None, left)
    )

    assert told.curve == blind.curve
    assert {k: v for k, v in told.metrics.items() if k in blind.metrics} == blind.metrics
    rate, precision = (
        told.metrics[f"churn_7d_{name}"] for name in ("alert_rate_for_80", "precision_at_80")
    )
    gone = told.metrics["churn_7d_truth_rate"] * told.metrics["churn_7d_test_rows"]
    warned = rate * told.metrics["churn_7d_test_rows"]
    assert precision * warned >= 0.8 * gone - 1e-6
    assert "churn_7d_truth" in told.curves


def test_category_demand_learns_which_half_a_customer_likes(
    busy: tuple[Dataset, NaiveStates],
) -> None:
    model = taught(fit(CategoryDemand(5, 20), *busy, CONFIG, seed=1, threads=1))

    assert model.features[-1] == "category_popularity"
    assert model.metrics["category_demand_5d_auc"] > 0.5
    assert "category_demand_5d_last_bought_auc" in model.metrics


def test_bad_histories_leave_a_score_out_with_a_sentence(busy: tuple[Dataset, NaiveStates]) -> None:
    everybody_stays = shop(
        [met(f"c{n}", "i01", START_US + day * DAY_US) for n in range(30) for day in range(40)]
    )
    nobody_buys = shop([event for event in two_tastes(customers=40) if event.name == "view_item"])
    one_customer = shop([met("c", "i01", START_US + day * DAY_US) for day in range(40)])
    dataset, states = busy
    unnamed = (dataset, NaiveStates([uncategorized(event) for event in states.events]))
    short = shop([met(f"c{n}", "i01", START_US + n * DAY_US // 9) for n in range(90)])

    for history, question, why in (
        (everybody_stays, Churn(7, 10), "only 0 rows of one outcome"),
        (nobody_buys, Repurchase(5, 20), "nobody to ask about"),
        (nobody_buys, CategoryDemand(5, 20), "only 0 rows"),
        (unnamed, CategoryDemand(5, 20), "nobody to ask about"),
        (one_customer, Churn(7, 10), "only 0 rows"),
        (short, Churn(14, 10), "must cover more than 21 days and covers 10"),
    ):
        found = fit(question, *history, CONFIG, seed=1, threads=1)

        assert isinstance(found, LeftOut)
        assert why in found.why.en
        assert found.name == question.name


def test_too_few_of_one_outcome_are_not_learnt_from(busy: tuple[Dataset, NaiveStates]) -> None:
    found = fit(Churn(7, 10), *busy, replace(CONFIG, min_class_rows=10_000), seed=1, threads=1)

    assert isinstance(found, LeftOut)
    assert "10000 are needed" in found.why.en
