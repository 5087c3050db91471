"""A customer and one category: what the pair's features say."""

from __future__ import annotations

import math

import pytest

from nearline.transforms import customer
from nearline.transforms.buckets import DAY_US, HOUR_US
from nearline.transforms.demand import DEMAND_FEATURES, demand
from tests.unit.training.histories import START_US, met

NOW = START_US + 10 * DAY_US


def test_each_category_met_is_described_by_what_was_done_there() -> None:
    state = customer.fold(
        [
            met("ann", "boot", NOW - 2 * HOUR_US, category="shoes", price_cents=3_000),
            met("ann", "boot", NOW - HOUR_US, name="purchase", category="shoes", price_cents=3_000),
            met("ann", "coat", NOW - HOUR_US, name="add_to_cart", category="coats"),
            met("ann", "jar", NOW - HOUR_US),
        ]
    )

    found = demand(state, NOW, {"shoes": 0.25})

    assert list(found) == ["coats", "shoes"]
    coats, shoes = (dict(zip(DEMAND_FEATURES, found[name], strict=True)) for name in found)
    assert shoes["category_interest"] + coats["category_interest"] == pytest.approx(1.0)
    assert shoes["category_interest"] == pytest.approx(6 / 9, rel=1e-3)  # view 1, purchase 5; 3
    assert (shoes["category_age_hours"], shoes["category_purchase_age_hours"]) == (1.0, 1.0)
    assert (shoes["category_views"], shoes["category_purchases"]) == (1.0, 1.0)
    assert (shoes["category_bought_last"], coats["category_bought_last"]) == (1.0, 0.0)
    assert shoes["category_price_ratio"] == pytest.approx(1.0)
    assert (shoes["category_popularity"], coats["category_popularity"]) == (0.25, 0.0)
    assert coats["category_carts"] == 1.0
    assert math.isnan(coats["category_purchase_age_hours"])
    assert math.isnan(coats["category_price_ratio"])  # no price is known there


def test_a_stranger_has_no_category() -> None:
    assert demand(customer.EMPTY, NOW, {"shoes": 1.0}) == {}
