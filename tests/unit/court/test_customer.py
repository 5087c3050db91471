from __future__ import annotations

import math
import random

import pytest

from nearline.contracts.event import Purpose
from nearline.transforms.customer import (
    CUSTOMER_FEATURES,
    EMPTY,
    RECENT_LIMIT,
    category_affinity,
    current_session,
    finish,
    fold,
    price_affinity,
    spend_of,
    state_of,
)

from .stories import DAY_US, HOUR_US, MINUTE_US, NOON_US, did, random_log


@pytest.mark.parametrize("seed", range(8))
def test_any_order_and_any_grouping_of_a_log_give_the_same_state(seed: int) -> None:
    log = random_log(seed, 300)
    expected = fold(sorted(log, key=lambda event: event.occurred_at_us))
    cut = random.Random(seed).randrange(len(log))

    assert fold(log) == expected
    assert fold(log[:cut]) + fold(log[cut:]) == expected
    assert fold(log[cut:]) + fold(log[:cut]) == expected


def test_a_state_plus_nothing_is_itself() -> None:
    state = fold(random_log(1, 20))

    assert state + EMPTY == EMPTY + state == state


def test_windows_count_what_lies_inside_them_and_nothing_else() -> None:
    state = fold(
        [
            did("view_item", NOON_US),
            did("view_item", NOON_US - 59 * MINUTE_US),
            did("view_item", NOON_US - 60 * MINUTE_US),
            did("view_item", NOON_US - 23 * HOUR_US),
            did("view_item", NOON_US - 6 * DAY_US),
            did("view_item", NOON_US - 29 * DAY_US),
        ]
    )

    values = finish(state, NOON_US)

    assert values["views_1h"] == 2
    assert values["views_24h"] == 4
    assert values["views_7d"] == 5
    assert values["views_30d"] == 6


def test_an_idle_customers_windows_fall_to_zero_without_any_write() -> None:
    state = fold([did("add_to_cart", NOON_US)])

    assert finish(state, NOON_US)["carts_1h"] == 1
    assert finish(state, NOON_US + 60 * MINUTE_US)["carts_1h"] == 0
    assert finish(state, NOON_US + 31 * DAY_US)["carts_30d"] == 0
    assert finish(state, NOON_US + 31 * DAY_US)["carts_total"] == 1


def test_spend_is_the_stated_value_or_else_the_priced_lines() -> None:
    assert spend_of(did("purchase", NOON_US, "lamp", "rug", price_cents=500, quantity=2)) == 2_000
    assert spend_of(did("purchase", NOON_US, "lamp", price_cents=500, value_cents=450)) == 450
    assert spend_of(did("view_item", NOON_US, "lamp", price_cents=500)) == 0


def test_an_event_without_consent_to_personalise_shapes_nothing() -> None:
    assert state_of(did("purchase", consent=(Purpose.ANALYTICS,))) == EMPTY


def test_a_session_ends_at_a_gap_of_more_than_thirty_minutes() -> None:
    state = fold(
        [
            did("view_item", NOON_US - 70 * MINUTE_US, "old"),
            did("view_item", NOON_US - 30 * MINUTE_US, "rug"),
            did("add_to_cart", NOON_US, "lamp"),
        ]
    )

    assert [recent.item_id for recent in current_session(state, NOON_US)] == ["lamp", "rug"]
    assert finish(state, NOON_US)["session_minutes"] == 30.0
    assert current_session(state, NOON_US + 31 * MINUTE_US) == ()


def test_only_the_newest_fifty_interactions_are_kept_newest_first() -> None:
    events = [did("view_item", NOON_US + n * MINUTE_US, f"i{n}") for n in range(60)]
    random.Random(3).shuffle(events)

    recent = fold(events).recent

    assert [entry.item_id for entry in recent] == [f"i{n}" for n in range(59, 9, -1)]
    assert len(recent) == RECENT_LIMIT


def test_a_purchase_is_remembered_with_its_latest_instant() -> None:
    state = fold([did("purchase", NOON_US, "lamp"), did("purchase", NOON_US - DAY_US, "lamp")])

    assert state.purchased == (("lamp", NOON_US),)


def test_category_interest_weighs_a_cart_as_three_views_and_halves_in_a_week() -> None:
    now = fold(
        [
            did("add_to_cart", NOON_US, "a", category="shoes"),
            did("view_item", NOON_US, "b", category="lamps"),
        ]
    )
    older = fold(
        [
            did("view_item", NOON_US, "a", category="shoes"),
            did("view_item", NOON_US - 7 * DAY_US, "b", category="lamps"),
        ]
    )

    assert category_affinity(now, NOON_US) == {"shoes": 3 / 4, "lamps": 1 / 4}
    assert category_affinity(older, NOON_US)["shoes"] == pytest.approx(2 / 3)


def test_price_affinity_is_the_mean_and_its_relative_spread() -> None:
    state = fold(
        [
            did("view_item", NOON_US, "a", price_cents=100),
            did("view_item", NOON_US, "b", price_cents=300),
        ]
    )

    assert price_affinity(state, NOON_US) == (200.0, 0.5)
    assert all(math.isnan(value) for value in price_affinity(EMPTY, NOON_US))


def test_a_stranger_has_every_feature_and_what_does_not_exist_is_nan() -> None:
    values = finish(EMPTY, NOON_US)

    assert tuple(values) == CUSTOMER_FEATURES
    assert values["views_30d"] == 0
    assert math.isnan(values["purchase_age_hours"])
