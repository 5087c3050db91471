"""Live shoppers: who shops, how lists are clicked, what happens when servers are away."""

from __future__ import annotations

from collections import Counter

import pytest

from ingestion.shop import truth
from ingestion.shop.generate import Parameters, generate
from ingestion.shop.life import CATALOGUE
from ingestion.shop.live import Crowd, Offer, Tally
from nearline.contracts.event import ITEM_LISTED, Event
from nearline.settings import Settings

UNTIL_US = 1_793_491_200_000_000


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> truth.Truth:
    settings = Settings(home=tmp_path_factory.mktemp("shop"))
    parameters = Parameters(customers=200, items=120, days=20, seed=5, until_us=UNTIL_US)
    generate(settings, parameters, replace=False)
    return truth.load(settings.truth)


def play(known: truth.Truth, count: int, offered: list[str], seed: int = 1) -> list[Event]:
    crowd, tally = Crowd(known, seed, now_us=UNTIL_US), Tally()

    def ask(customer_id: str, page: str) -> Offer | None:
        return Offer(tuple(offered), f"r-{customer_id}") if offered else None

    return [
        crowd.next_event(UNTIL_US + number * 200_000, 15, ask, tally) for number in range(count)
    ]


def test_only_customers_who_have_not_left_shop(known: truth.Truth) -> None:
    gone = {
        customer_id
        for customer_id, left in zip(
            known.world.customers.ids, known.has_churned_C(UNTIL_US), strict=True
        )
        if left
    }
    assert gone

    assert not gone & {event.customer_id for event in play(known, 2_000, [])}


def test_the_same_seed_shops_the_same(known: truth.Truth) -> None:
    assert play(known, 300, []) == play(known, 300, []) != play(known, 300, [], seed=2)


def test_the_first_place_of_a_list_is_clicked_more_than_the_last(known: truth.Truth) -> None:
    shown = known.world.items.ids[:10]

    clicks = Counter(
        event.lines[0].item_id for event in play(known, 12_000, shown) if event.response_id
    )

    # The same items upside down: what is not the item's own charm is its place.
    reverse = Counter(
        event.lines[0].item_id for event in play(known, 12_000, shown[::-1]) if event.response_id
    )
    upper = sum(clicks[item] for item in shown[:3]) + sum(reverse[item] for item in shown[-3:])
    lower = sum(clicks[item] for item in shown[-3:]) + sum(reverse[item] for item in shown[:3])
    assert upper > 1.5 * lower > 0


def test_an_unknown_item_in_a_list_is_passed_over(known: truth.Truth) -> None:
    events = play(known, 500, ["from-another-shop"])

    assert not any(event.response_id for event in events)


def test_nobody_looks_at_what_they_bought_before(known: truth.Truth) -> None:
    ids = known.world.items.ids
    before = {
        (known.world.customers.ids[row], ids[item])
        for row, items in enumerate(known.purchased)
        for item in items
    }

    assert before
    assert not before & {
        (event.customer_id, line.item_id)
        for event in play(known, 4_000, [])
        for line in event.lines
    }


def test_now_and_then_the_shop_says_that_stock_has_changed(known: truth.Truth) -> None:
    events = play(known, 4_000, [])
    listed = [event for event in events if event.name == ITEM_LISTED]

    assert 15 < len(listed) < 80  # One in a hundred.
    assert {event.customer_id for event in listed} == {CATALOGUE}
    said = [event.lines[0].facts for event in listed]
    assert all(facts is not None and facts.stock is not None for facts in said)
    assert 0 < sum(facts is not None and facts.stock == 0 for facts in said) < len(said)
