from __future__ import annotations

import random
from itertools import permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearline.contracts.event import Event, Purpose
from nearline.transforms.columns import item_columns, item_state
from nearline.transforms.item import EMPTY, ITEM_FEATURES, ItemState, finish, fold, states_of

from .stories import DAY_US, NOON_US, did, random_log

# Few instants and values, so that ties are common. None and 0 state nothing.
SAYING = st.builds(
    did,
    st.sampled_from(("item_listed", "view_item", "add_to_wishlist")),
    st.sampled_from((NOON_US, NOON_US + 1, NOON_US + 2)),
    price_cents=st.sampled_from((None, 0, 900, 1_000)),
    category=st.sampled_from((None, "", "lamps", "light")),
)


def said(state: ItemState) -> tuple[object, ...]:
    """What is stated of an item, without the counts."""
    return (
        (state.price_listed, state.price_at_us, state.price_cents),
        (state.category_listed, state.category_at_us, state.category),
    )


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


def test_a_listing_stands_above_all_that_other_events_say_whatever_arrives_last() -> None:
    listing = did("item_listed", NOON_US, "lamp", price_cents=900, category="lamps")
    older = did("view_item", NOON_US - DAY_US, "lamp", price_cents=5_000, category="gifts")
    newer = did("purchase", NOON_US + DAY_US, "lamp", price_cents=1, category="other")
    at_once = did("view_item", NOON_US, "lamp", price_cents=9_999, category="zoo")

    for order in permutations((listing, older, newer, at_once)):
        assert said(fold("lamp", order)) == ((1, NOON_US, 900), (1, NOON_US, "lamps"))


def test_among_listings_the_newest_counts_and_what_it_leaves_out_stays() -> None:
    events = [
        did("item_listed", NOON_US, "lamp", price_cents=900, category="lamps"),
        did("item_listed", NOON_US + DAY_US, "lamp", price_cents=700),
        did("item_listed", NOON_US - DAY_US, "lamp", price_cents=800, category="light"),
    ]

    for order in permutations(events):
        assert said(fold("lamp", order)) == ((1, NOON_US + DAY_US, 700), (1, NOON_US, "lamps"))


def test_a_listing_without_a_price_leaves_it_to_the_newest_event_that_states_one() -> None:
    events = [
        did("view_item", NOON_US, "lamp", price_cents=800, category="gifts"),
        did("view_item", NOON_US + 1, "lamp", price_cents=850),
        did("item_listed", NOON_US + 2, "lamp", price_cents=0, category="lamps"),
    ]

    assert said(fold("lamp", events)) == ((0, NOON_US + 1, 850), (1, NOON_US + 2, "lamps"))


@given(st.lists(SAYING, max_size=6), st.lists(SAYING, max_size=6), st.lists(SAYING, max_size=6))
def test_statements_add_in_any_order_and_grouping_and_twice_is_once(
    these: list[Event], those: list[Event], others: list[Event]
) -> None:
    a, b, c = (fold("lamp", events) for events in (these, those, others))

    assert a + b == b + a
    assert (a + b) + c == a + (b + c)
    assert said(a + a) == said(a) == said(a + EMPTY)


def test_what_was_stored_before_listings_were_marked_gives_way_to_one() -> None:
    """As of another event: the next listing sets it right, or `nearline backfill`."""
    row = item_columns(fold("lamp", [did("view_item", NOON_US, "lamp", category="gifts")]))
    del row["price_listed"], row["category_listed"]

    held = item_state(row)
    listing = did("item_listed", NOON_US - DAY_US, "lamp", category="lamps")

    assert said(held) == ((0, 0, 0), (0, NOON_US, "gifts"))
    assert fold("lamp", [listing], held).category == "lamps"


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
