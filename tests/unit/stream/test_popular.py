from __future__ import annotations

import json

import pytest

from ingestion.backfill.popular import popular, popularity
from nearline.transforms import item
from nearline.transforms.item import ItemState
from tests.unit.stream.made import DAY_US, NOON_US, event


def state(*names: str, at_us: int = NOON_US, price_cents: int | None = 500) -> ItemState:
    events = [
        event(str(n), name=name, occurred_at_us=at_us, price_cents=price_cents, category="home")
        for n, name in enumerate(names)
    ]
    return item.fold("lamp", events)


def test_a_purchase_weighs_five_views_and_a_week_halves() -> None:
    assert popularity(state("view_item"), NOON_US) == 1
    assert popularity(state("purchase", "add_to_cart"), NOON_US) == 8
    week_later = NOON_US + 7 * DAY_US
    assert popularity(state("view_item"), week_later) == pytest.approx(0.5)


def test_the_list_counts_back_from_the_newest_event_of_all() -> None:
    once = state(*["view_item"] * 3, at_us=NOON_US - 14 * DAY_US)
    now = state("view_item")

    rows = json.loads(popular([("once", once), ("now", now)]))

    assert rows == [["now", "home", 500], ["once", "home", 500]]


def test_ties_go_by_id_and_what_nobody_touched_is_left_out() -> None:
    listed = state("item_listed")
    viewed = state("view_item", price_cents=None)

    rows = json.loads(popular([("b", viewed), ("a", viewed), ("c", listed)], how_many=2))

    assert rows == [["a", "home", 0], ["b", "home", 0]]


def test_without_history_the_list_is_empty() -> None:
    assert popular([]) == b"[]"
