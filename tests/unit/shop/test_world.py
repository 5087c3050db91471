"""The simulated shop is repeatable, sane, and hides a truth that behaviour reveals."""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict

import numpy as np
import pytest

from ingestion.shop.life import CATALOGUE, Simulation
from ingestion.shop.world import CATEGORIES, World, build
from nearline.contracts.event import ITEM_LISTED, Event, Kind
from nearline.transforms.buckets import DAY_US, MINUTE_US

UNTIL_US = 1_793_491_200_000_000  # 2026-11-01
DAYS = 40
START_US = UNTIL_US - DAYS * DAY_US


class Drawn:
    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.world: World = build(
            rng, customers=400, items=360, start_us=START_US, until_us=UNTIL_US
        )
        simulation = Simulation(
            self.world, rng, start_us=START_US, until_us=UNTIL_US, run=f"shop-{seed}"
        )
        self.events: list[Event] = [event for day in simulation.days() for event in day]
        self.lives = simulation.lives
        self.acts = [event for event in self.events if event.name != ITEM_LISTED]
        self.by_customer: dict[str, list[Event]] = defaultdict(list)
        for event in self.acts:
            self.by_customer[event.customer_id].append(event)


@pytest.fixture(scope="module")
def shop() -> Drawn:
    return Drawn(3)


def test_the_same_seed_draws_the_same_events_and_another_seed_draws_others(shop: Drawn) -> None:
    assert Drawn(3).events == shop.events
    assert Drawn(4).events != shop.events


def test_events_come_in_time_order_with_distinct_ids_inside_the_period(shop: Drawn) -> None:
    instants = [event.occurred_at_us for event in shop.events]

    assert instants == sorted(instants)
    assert len({event.event_id for event in shop.events}) == len(shop.events)
    assert instants[0] >= START_US
    assert instants[-1] < UNTIL_US
    assert all(event.known_at_us == event.occurred_at_us for event in shop.events)


def test_carts_follow_a_tenth_of_the_views_and_orders_three_or_four_in_a_hundred(
    shop: Drawn,
) -> None:
    counts = Counter(event.kind for event in shop.acts)

    assert 0.08 <= counts[Kind.CART] / counts[Kind.VIEW] <= 0.13
    assert 0.025 <= counts[Kind.PURCHASE] / counts[Kind.VIEW] <= 0.05
    assert 0.02 <= counts[Kind.FAVOURITE] / counts[Kind.VIEW] <= 0.06


def test_nobody_looks_at_an_item_before_it_was_announced(shop: Drawn) -> None:
    listed = {
        event.lines[0].item_id: event.occurred_at_us
        for event in shop.events
        if event.name == ITEM_LISTED
    }

    assert len(listed) == 360
    assert sum(at_us > START_US + DAY_US for at_us in listed.values()) > 50  # new arrivals
    assert all(
        listed[line.item_id] <= event.occurred_at_us for event in shop.acts for line in event.lines
    )
    assert {e.customer_id for e in shop.events if e.name == ITEM_LISTED} == {CATALOGUE}


def test_nobody_buys_an_item_twice_or_looks_at_it_again(shop: Drawn) -> None:
    for events in shop.by_customer.values():
        bought: set[str] = set()
        for event in events:
            items = {line.item_id for line in event.lines}
            assert not items & bought
            if event.kind is Kind.PURCHASE:
                bought |= items


def test_most_customers_look_mostly_at_the_category_that_they_like_best(shop: Drawn) -> None:
    names = [category.name for category in CATEGORIES]
    hits = []
    for row, customer_id in enumerate(shop.world.customers.ids):
        seen = Counter(e.lines[0].category for e in shop.by_customer[customer_id])
        if seen.total() >= 20:
            liked = names[int(shop.world.customers.taste_CK[row].argmax())]
            hits.append(seen.most_common(1)[0][0] == liked)

    assert len(hits) > 150
    assert np.mean(hits) > 0.55  # one in twelve by chance


def test_who_has_left_never_returns_and_who_stays_is_seen_again(shop: Drawn) -> None:
    churned_C = shop.lives.churned_at_us_C
    for row, customer_id in enumerate(shop.world.customers.ids):
        events = shop.by_customer[customer_id]
        if churned_C[row] and events:
            assert events[-1].occurred_at_us < churned_C[row]

    assert 0.1 < np.mean(churned_C > 0) < 0.5


def test_visits_become_rarer_before_a_departure(shop: Drawn) -> None:
    """Of those who drift away: fewer events in the last week than in the second before it."""
    late = early = 0
    for row, customer_id in enumerate(shop.world.customers.ids):
        gone_us = int(shop.lives.churned_at_us_C[row])
        if not gone_us or shop.lives.fading_until_us_C[row] > gone_us:
            continue
        for event in shop.by_customer[customer_id]:
            days_before = (gone_us - event.occurred_at_us) / DAY_US
            late += days_before <= 7
            early += 14 < days_before <= 21

    assert late < 0.6 * early


def test_pauses_are_empty_and_longer_than_a_session(shop: Drawn) -> None:
    for row, customer_id in enumerate(shop.world.customers.ids):
        for from_us, until_us in shop.lives.pauses[row]:
            assert until_us - from_us >= 4 * DAY_US
            inside = [
                event
                for event in shop.by_customer[customer_id]
                # A visit of the evening before may run past midnight.
                if from_us + 180 * MINUTE_US < event.occurred_at_us < until_us
            ]
            assert not inside


def test_a_few_in_a_hundred_allow_analytics_alone_and_that_stands_in_their_events(
    shop: Drawn,
) -> None:
    personal_C = shop.world.customers.personalizes_C
    row_of = {customer_id: row for row, customer_id in enumerate(shop.world.customers.ids)}

    assert 0.005 < np.mean(~personal_C) < 0.07
    assert all(event.personalizes == personal_C[row_of[event.customer_id]] for event in shop.acts)


def test_what_was_looked_at_last_tells_more_about_the_next_look_than_popularity(
    shop: Drawn,
) -> None:
    """A bigram table beats the top ten: there is a sequence to learn."""
    cut_us = START_US + 32 * DAY_US
    popular: Counter[str] = Counter()
    after: dict[str, Counter[str]] = defaultdict(Counter)
    tests: list[tuple[str, str]] = []
    for events in shop.by_customer.values():
        views = [(e.occurred_at_us, e.lines[0].item_id) for e in events if e.kind is Kind.VIEW]
        for (_, item), (at_us, following) in itertools.pairwise(views):
            if at_us < cut_us:
                popular[following] += 1
                after[item][following] += 1
            else:
                tests.append((item, following))
    top = {item for item, _ in popular.most_common(10)}

    by_popularity = np.mean([following in top for _, following in tests])
    by_sequence = np.mean(
        [following in dict(after[item].most_common(10)) for item, following in tests]
    )
    assert by_sequence > 1.5 * by_popularity
