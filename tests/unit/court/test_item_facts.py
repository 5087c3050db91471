from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nearline.contracts.event import Event, Line, StatedFacts, decode_event
from nearline.transforms.buckets import Rows
from nearline.transforms.columns import item_columns, item_state
from nearline.transforms.item import ITEM_FEATURES, fold, states_of
from nearline.transforms.item_facts import (
    UNKNOWN_FACTS,
    ItemFacts,
    facts_of,
    merge_facts,
    rows_of,
)

from .stories import DAY_US, NOON_US, did

# As written before lines had facts: an `item_listed` event: four fields in the line.
OLD_LISTING = (
    "88a86576656e745f6964a26531a474797065a5747261636ba46e616d65ab6974656d5f6c6973746564ab6375"
    "73746f6d65725f6964a473686f70ae6f636375727265645f61745f7573cf000640b88a607000ab6b6e6f776e"
    "5f61745f7573cf000640b88a607000a6736f75726365a474657374a56c696e65739194a46c616d7001cd0384"
    "a56c616d7073"
)
STATED = st.builds(
    StatedFacts,
    stock=st.none() | st.integers(0, 3),
    rating_hundredths=st.none() | st.integers(0, 500),
    banned=st.none() | st.booleans(),
    min_age_years=st.none() | st.integers(0, 120),
    repurchase_days=st.none() | st.integers(0, 60),
)
# Few instants, so that ties are common.
ROWS = st.lists(st.builds(rows_of, STATED, st.integers(1, 3)), max_size=4).map(
    lambda parts: sum_of(parts)
)


def sum_of(parts: list[Rows]) -> Rows:
    total: Rows = ()
    for part in parts:
        total = merge_facts(total, part)
    return total


def listed(at_us: int, stated: StatedFacts | None, name: str = "item_listed") -> Event:
    return Event(
        event_id=f"{at_us}",
        type="track",
        name=name,
        customer_id="shop",
        occurred_at_us=at_us,
        known_at_us=at_us,
        source="test",
        lines=(Line("lamp", facts=stated),),
        consent=("personalization",),
    )


@given(ROWS, ROWS, ROWS)
def test_facts_add_in_any_order_and_grouping(a: Rows, b: Rows, c: Rows) -> None:
    assert merge_facts(a, b) == merge_facts(b, a)
    assert merge_facts(merge_facts(a, b), c) == merge_facts(a, merge_facts(b, c))
    assert merge_facts(a, a) == merge_facts(a, ()) == a


@pytest.mark.parametrize("seed", range(20))
def test_the_newest_statement_of_each_fact_counts_as_if_all_were_looked_through(seed: int) -> None:
    chance = random.Random(seed)
    said = [
        (
            chance.randrange(1, 6),
            StatedFacts(
                stock=chance.choice((None, 0, 4, 9)),
                rating_hundredths=chance.choice((None, 0, 435)),
                banned=chance.choice((None, False, True)),
                min_age_years=chance.choice((None, 0, 18)),
                repurchase_days=chance.choice((None, 0, 14)),
            ),
        )
        for _ in range(12)
    ]
    newest = {}
    for name in StatedFacts.__struct_fields__:
        stated = [
            (at, getattr(facts, name)) for at, facts in said if getattr(facts, name) is not None
        ]
        if stated:
            newest[name] = max(stated)[1]

    state = fold("lamp", [listed(at, facts) for at, facts in said])

    assert facts_of(state.facts) == ItemFacts(**newest)


def test_a_stock_of_nothing_is_a_fact_and_silence_leaves_what_was_said() -> None:
    events = [
        listed(NOON_US, StatedFacts(stock=7, rating_hundredths=435)),
        listed(NOON_US + DAY_US, StatedFacts(stock=0)),
        listed(NOON_US + 2 * DAY_US, None),
        listed(NOON_US + 3 * DAY_US, StatedFacts(min_age_years=18, banned=False)),
    ]

    facts = facts_of(fold("lamp", events).facts)

    assert facts == ItemFacts(stock=0, rating_hundredths=435, min_age_years=18)


def test_of_two_statements_at_one_instant_the_larger_counts() -> None:
    events = [
        listed(NOON_US, StatedFacts(banned=True, stock=3)),
        listed(NOON_US, StatedFacts(banned=False, stock=5)),
    ]

    assert facts_of(fold("lamp", events).facts) == ItemFacts(stock=5, banned=True)


def test_an_item_that_nobody_listed_has_unknown_facts() -> None:
    assert facts_of(fold("lamp", [did("view_item", NOON_US, "lamp")]).facts) is UNKNOWN_FACTS


def test_only_a_listing_states_facts() -> None:
    assert states_of(listed(NOON_US, StatedFacts(stock=0), "view_item"))["lamp"].facts == ()


def test_facts_survive_their_columns_and_a_row_without_them_reads_as_none_stated() -> None:
    state = fold("lamp", [listed(NOON_US, StatedFacts(stock=0, banned=True))])
    row = item_columns(state)

    assert row["facts"] == [0, NOON_US, 0, 2, NOON_US, 1]
    assert item_state(row) == state
    del row["facts"]
    assert item_state(row).facts == ()


def test_a_code_of_a_later_version_is_kept_and_passed_over() -> None:
    rows = merge_facts(((99, 5, 1),), ((0, 4, 2),))

    assert rows == ((0, 4, 2), (99, 5, 1))
    assert facts_of(rows) == ItemFacts(stock=2)


def test_bytes_from_before_there_were_facts_still_decode() -> None:
    assert decode_event(bytes.fromhex(OLD_LISTING)).lines == (Line("lamp", 1, 900, "lamps", None),)


def test_facts_are_no_features() -> None:
    assert len(ITEM_FEATURES) == 14
    assert not {"stock", "rating", "facts"} & set(ITEM_FEATURES)
