from __future__ import annotations

import random

import pytest

from nearline.contracts.event import Purpose
from nearline.transforms.item import EMPTY, ITEM_FEATURES, finish, fold, states_of

from .stories import DAY_US, NOON_US, did, random_log


@pytest.mark.parametrize("seed", range(5))
def test_any_order_of_a_log_gives_the_same_item_state(seed: int) -> None:
    log = random_log(seed, 300)
    expected = fold("item-3", sorted(log, key=lambda event: event.occurred_at_us))
    random.Random(seed).shuffle(log)

    assert fold("item-3", log) == expected != EMPTY


def test_the_newest_stated_price_and_category_win_whatever_arrives_last() -> None:
    newer = did("view_item", NOON_US, "lamp", price_cents=900, category="light")
    older = did("view_item", NOON_US - DAY_US, "lamp", price_cents=1_000, category="lamps")

    state = fold("lamp", [newer, older])

    assert (state.price_cents, state.category) == (900, "light")


def test_a_listing_gives_price_category_and_age_but_counts_nothing() -> None:
    state = fold("lamp", [did("item_listed", NOON_US, "lamp", price_cents=900, category="lamps")])
    values = finish(state, NOON_US + 3 * DAY_US)

    assert values["age_days"] == 3.0
    assert values["price_cents"] == 900.0
    assert values["views_7d"] == values["views_total"] == 0


def test_a_listing_needs_no_customers_consent() -> None:
    listing = did("item_listed", NOON_US, "lamp", price_cents=900, consent=())

    assert states_of(listing)["lamp"].price_cents == 900


def test_conversion_is_shrunk_towards_two_percent() -> None:
    views = [did("view_item", NOON_US, "lamp", event_id=f"v{n}") for n in range(50)]
    bought = did("purchase", NOON_US, "lamp")

    assert finish(EMPTY, NOON_US)["conversion_7d"] == 0.02
    assert finish(fold("lamp", [*views, bought]), NOON_US)["conversion_7d"] == 2 / 100


def test_one_event_with_an_item_twice_counts_both_lines() -> None:
    assert states_of(did("view_item", NOON_US, "lamp", "lamp"))["lamp"].views_total == 2


def test_events_without_consent_or_meaning_change_no_item() -> None:
    assert states_of(did("view_item", consent=(Purpose.ANALYTICS,))) == {}
    assert states_of(did("exposure")) == {}


def test_every_item_feature_is_named_in_order() -> None:
    assert tuple(finish(EMPTY, NOON_US)) == ITEM_FEATURES
