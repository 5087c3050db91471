"""Who is asked about, and what then counts as yes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nearline.contracts.event import Kind
from nearline.transforms.buckets import DAY_US, HOUR_US
from tests.unit.training.histories import met
from tests.unit.training.leaks.naive import NaiveStates
from training.datasets import Dataset, IdMap, Interactions
from training.scores.questions import CategoryDemand, Churn, Repurchase, category_shares
from training.stated import Stated

AT = 50 * DAY_US
ITEMS = ("boot", "coat", "jar")
CATEGORIES = ("shoes", "clothes", "")
_KINDS = {"view_item": Kind.VIEW, "add_to_cart": Kind.CART, "purchase": Kind.PURCHASE}


def past(*events: tuple[str, str, str, int]) -> tuple[Dataset, NaiveStates]:
    """(customer, item, event name, instant) as a dataset and as states."""
    whole = [
        met(who, what, at_us, name=name, category=CATEGORIES[ITEMS.index(what)], price_cents=1_000)
        for who, what, name, at_us in events
    ]
    ids = tuple(sorted({event.customer_id for event in whole}))
    at_us = np.array([event.occurred_at_us for event in whole], np.int64)
    interactions = Interactions(
        np.array([ids.index(event.customer_id) for event in whole], np.int64),
        np.array([ITEMS.index(event.lines[0].item_id) for event in whole], np.int64),
        np.array([int(_KINDS[event.name]) for event in whole], np.int64),
        at_us,
        at_us,
    )
    dataset = Dataset(
        interactions, ids, IdMap(ITEMS), CATEGORIES, (1_000,) * 3, (0,) * 3,
        int(at_us.min()), int(at_us.max()),
    )  # fmt: skip
    return dataset, NaiveStates(whole)


def test_repurchase_asks_active_buyers_and_wants_another_purchase() -> None:
    dataset, states = past(
        ("ann", "boot", "purchase", AT - 40 * DAY_US),  # bought long ago, active, buys again
        ("ann", "boot", "view_item", AT - DAY_US),
        ("ann", "coat", "purchase", AT + 7 * DAY_US),
        ("ben", "boot", "purchase", AT),  # buys at the instant, later only looks
        ("ben", "coat", "view_item", AT + DAY_US),
        ("cat", "boot", "view_item", AT - DAY_US),  # never bought before: not asked
        ("cat", "boot", "purchase", AT + DAY_US),
        ("dan", "boot", "purchase", AT - 31 * DAY_US),  # not active any more
    )

    rows = Repurchase(7, 30).rows_at(AT, dataset, states)

    assert [dataset.customer_ids[row] for row in rows.customer_R] == ["ann", "ben"]
    assert rows.labels_R.tolist() == [1.0, 0.0]
    question = Repurchase(7, 30)
    assert np.argmax(question.simply(rows)) == 1  # Ben bought last


def test_demand_asks_each_customer_about_the_categories_that_one_has_met() -> None:
    dataset, states = past(
        ("ann", "boot", "view_item", AT - 3 * HOUR_US),
        ("ann", "coat", "purchase", AT - 2 * HOUR_US),
        ("ann", "jar", "purchase", AT - HOUR_US),  # of no category
        ("ann", "boot", "purchase", AT + DAY_US),
        ("ann", "coat", "purchase", AT + 8 * DAY_US),  # too late
        ("ben", "coat", "add_to_cart", AT - DAY_US),
        ("ben", "boot", "purchase", AT + DAY_US),  # a category that Ben had not met
    )
    question = CategoryDemand(7, 30)

    rows = question.rows_at(AT, dataset, states)

    # Categories in the order of their names: Ann's clothes and shoes, then Ben's clothes.
    assert [dataset.customer_ids[row] for row in rows.customer_R] == ["ann", "ann", "ben"]
    assert rows.labels_R.tolist() == [0.0, 1.0, 0.0]
    named = dict(zip(question.features, rows.features_RF.T, strict=True))
    assert named["category_age_hours"].tolist() == [2.0, 3.0, 24.0]
    assert named["category_purchases"].tolist() == [1.0, 0.0, 0.0]
    # Ann's newest purchase, the jar, is of no category.
    assert named["category_bought_last"].tolist() == [0.0, 0.0, 0.0]
    assert named["category_popularity"].tolist() == [1.0, 0.0, 1.0]
    assert named["category_price_ratio"].tolist() == [1.0, 1.0, 1.0]
    assert named["views_24h"].tolist() == [1.0, 1.0, 0.0]


def test_popularity_counts_the_purchases_of_the_last_days_that_have_a_category() -> None:
    dataset, _ = past(
        ("ann", "boot", "purchase", AT - 8 * DAY_US),  # too long ago
        ("ann", "boot", "purchase", AT - 2 * DAY_US),
        ("ben", "coat", "purchase", AT - DAY_US),
        ("ben", "coat", "purchase", AT),
        ("ben", "jar", "purchase", AT),
        ("ben", "boot", "purchase", AT + 1),  # not yet
        ("ben", "boot", "view_item", AT),
    )

    assert category_shares(dataset, AT) == {"clothes": pytest.approx(2 / 3), "shoes": 1 / 3}
    assert category_shares(dataset, AT - 20 * DAY_US) == {}


def test_popularity_goes_by_the_categories_that_were_known_then() -> None:
    dataset, _ = past(("ann", "boot", "purchase", AT - DAY_US))
    moved = Stated(np.array([0, 0]), np.array([AT - 9 * DAY_US, AT + 1]), ("shoes", "clothes"))
    dataset = replace(dataset, categories=("clothes", "", ""), stated_categories=moved)

    assert category_shares(dataset, AT) == {"shoes": 1.0}
    assert category_shares(dataset, AT + 1) == {"clothes": 1.0}


@pytest.mark.parametrize("question", [Churn(7, 30), Repurchase(7, 30), CategoryDemand(7, 30)])
def test_what_is_only_known_later_changes_no_feature(
    question: Churn | Repurchase | CategoryDemand,
) -> None:
    before = [
        ("ann", "boot", "view_item", AT - 3 * HOUR_US),
        ("ann", "coat", "purchase", AT - 2 * HOUR_US),
    ]
    later = [("ann", "boot", "purchase", AT + 1 + number) for number in range(20)]

    quiet, loud = (question.rows_at(AT, *past(*events)) for events in (before, before + later))

    np.testing.assert_array_equal(quiet.features_RF, loud.features_RF)
    assert quiet.labels_R.tolist() != loud.labels_R.tolist()
