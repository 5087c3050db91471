"""Nothing that happened after a moment reaches its features; labels see nothing before it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from nearline.contracts.event import ITEM_LISTED, Event
from nearline.settings import Settings
from nearline.transforms.buckets import DAY_US, HOUR_US
from tests.unit.training.histories import START_US, met, two_tastes, write
from tests.unit.training.leaks.naive import NaiveStates
from training.datasets import Dataset, read
from training.label_points import Point, points
from training.ranking_rows import ask, rows_of
from training.retrieval import Retriever
from training.scores.questions import Churn
from training.states import FeastStates

pytestmark = pytest.mark.slow

CUT_US = START_US + 20 * DAY_US
LISTED = met("shop", "planted", START_US, name=ITEM_LISTED)


@dataclass(frozen=True)
class Past:
    """A history read in every way that training reads it."""

    events: list[Event]
    dataset: Dataset
    states: FeastStates


def past(home: Path, events: list[Event]) -> Past:
    settings = Settings(home=home, redis_url="redis://127.0.0.1:1/0")
    write(settings.history, events)
    return Past(events, read(settings.history), FeastStates.open(settings, lambda _: None))


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Past:
    return past(tmp_path_factory.mktemp("honest"), [LISTED, *two_tastes(customers=30)])


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Past:
    """The same history, and after the cut everybody buys and views one item, dearly."""
    events = [LISTED, *two_tastes(customers=30)]
    planted = [
        met(f"c{number:03d}", "planted", CUT_US + 1 + number, name=name, price_cents=99_999_999,
            category="planted")
        for number in range(30)
        for name in ("view_item", "purchase")
    ]  # fmt: skip
    # And one that occurred before the cut, but became known only after it.
    late = met("c001", "i05", CUT_US - HOUR_US, name="purchase", known_after_us=2 * HOUR_US)
    return past(tmp_path_factory.mktemp("planted"), [*events, *planted, late])


def retriever(dataset: Dataset) -> Retriever:
    draw = np.random.default_rng(7)
    vectors = draw.normal(size=(len(dataset.items), 8)).astype(np.float32)
    return Retriever.of(
        queries=lambda items, kinds: vectors[items[:, -1] - 1],
        vectors_ID=vectors,
        dataset=dataset,
        until_us=CUT_US,
        popular=list(range(20)),
        history_length=20,
    )


def moments(dataset: Dataset) -> list[Point]:
    """Points up to the cut, all with one target, so that only features can differ."""
    found = points(
        dataset.interactions, START_US, CUT_US, hours=24, per_customer=2, limit=40, seed=1
    )
    return [Point(p.customer, p.as_of_us, {0: 1}) for p in found if p.as_of_us <= CUT_US]


def test_what_happens_after_a_moment_changes_none_of_its_features(
    honest: Past, planted: Past
) -> None:
    asked = moments(honest.dataset)
    same = [
        rows_of(ask(asked, one.dataset, retriever(one.dataset), one.states), one.states)
        for one in (honest, planted)
    ]

    assert len(same[0].features_RF) > 500
    np.testing.assert_array_equal(same[0].features_RF, same[1].features_RF)


def test_churn_features_of_a_snapshot_do_not_see_what_its_label_sees(
    honest: Past, planted: Past
) -> None:
    before, after = (
        Churn(horizon_days=7, active_days=10).rows_at(CUT_US, one.dataset, one.states)
        for one in (honest, planted)
    )

    np.testing.assert_array_equal(before.features_RF, after.features_RF)
    assert before.labels_R.sum() > 0
    assert after.labels_R.sum() == 0  # the planted event is in every label


def test_labels_hold_the_planted_events_only_after_the_moment(planted: Past) -> None:
    found = points(
        planted.dataset.interactions, CUT_US - 2 * DAY_US, planted.dataset.to_us,
        hours=24, per_customer=50, limit=10_000, seed=1,
    )  # fmt: skip
    row = planted.dataset.items.index_of["planted"]

    at_us = {point.as_of_us: point for point in found if row in point.gains}
    assert at_us
    assert all(CUT_US - DAY_US < instant <= CUT_US + 30 for instant in at_us)
    assert all(point.gains[row] == 3 for point in at_us.values())
    assert any(point.as_of_us > CUT_US + 30 for point in found)


def test_features_through_feast_equal_a_naive_fold_of_what_was_known(planted: Past) -> None:
    naive = NaiveStates(planted.events)
    asked = moments(planted.dataset)[:12]
    ids = [planted.dataset.customer_ids[point.customer] for point in asked]
    instants = [point.as_of_us for point in asked]
    # The late event: known to nobody at the cut, known two hours on.
    ids += ["c001", "c001"]
    instants += [CUT_US, CUT_US + 2 * HOUR_US]

    through_feast = planted.states.customers(ids, instants)

    assert through_feast == naive.customers(ids, instants)
    owned = [dict(state.purchased) for state in through_feast[-2:]]
    assert "i05" in owned[1]
    assert owned[0].get("i05", 0) != CUT_US - HOUR_US
    what = ["planted", "i07", "i39"] * 4
    when = [instant for instant in instants[:4] for _ in range(3)]
    assert planted.states.items(what, when) == naive.items(what, when)
