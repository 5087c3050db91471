"""What the shop states of its items, and that its customers do the same whatever it states."""

from __future__ import annotations

from collections import Counter

import msgspec
import numpy as np
import pytest

from ingestion.shop.life import CATALOGUE, Simulation
from ingestion.shop.listings import OUT_OF_STOCK, Listings, Storeroom
from ingestion.shop.world import World, build
from nearline.contracts.event import ITEM_LISTED, Event
from nearline.transforms.buckets import DAY_US, unflatten
from nearline.transforms.item_facts import FACT_COLUMNS, facts_of
from tests.unit.stream.naive import items as recounted

UNTIL_US = 1_793_491_200_000_000
START_US = UNTIL_US - 12 * DAY_US


def lived(items: int, listings_of: int | None, customers: int = 40) -> tuple[World, list[Event]]:
    """The events of a small shop; `listings_of` is the seed of what is stated, None: nothing."""
    rng = np.random.default_rng(9)
    world = build(rng, customers=customers, items=items, start_us=START_US, until_us=UNTIL_US)
    stated = None if listings_of is None else Listings.of(listings_of, world.items, UNTIL_US)
    simulation = Simulation(
        world, rng, start_us=START_US, until_us=UNTIL_US, run="shop", listings=stated
    )
    return world, [event for day in simulation.days() for event in day]


def without_facts(events: list[Event]) -> list[Event]:
    """The events as they would be of a shop that states none and lists nothing again."""
    return [
        msgspec.structs.replace(
            event, lines=tuple(msgspec.structs.replace(line, facts=None) for line in event.lines)
        )
        for event in events
        if "again" not in event.event_id
    ]


def test_customers_do_the_same_whatever_the_shop_states_of_its_items() -> None:
    _, silent = lived(240, None)
    _, one = lived(240, 9)
    _, other = lived(240, 10)

    assert one != other
    assert without_facts(one) == without_facts(other) == silent
    assert all(line.facts is None for event in silent for line in event.lines)


def test_what_is_listed_again_is_in_time_order_with_ids_of_its_own() -> None:
    _, events = lived(240, 9)
    again = [event for event in events if "again" in event.event_id]

    assert again
    assert [event.occurred_at_us for event in events] == sorted(
        event.occurred_at_us for event in events
    )
    assert len({event.event_id for event in events}) == len(events)
    assert {(event.name, event.customer_id) for event in again} == {(ITEM_LISTED, CATALOGUE)}
    first = {event.lines[0].item_id: event.occurred_at_us for event in reversed(events)}
    assert all(event.occurred_at_us > first[event.lines[0].item_id] for event in again)


def test_a_shop_states_what_rules_need_in_the_proportions_of_a_shop() -> None:
    world, events = lived(4_800, 9, customers=5)
    stated = {
        item_id: facts_of(unflatten(row["facts"], FACT_COLUMNS))
        for item_id, (row, _) in recounted(events).items()
    }
    facts = list(stated.values())
    ran_out = {
        event.lines[0].item_id
        for event in events
        if (said := event.lines[0].facts) and said.stock == 0
    }
    out_now = {item_id for item_id, one in stated.items() if one.stock == 0}
    ratings = [one.rating_hundredths for one in facts if one.rating_hundredths is not None]
    consumable = {item_id for item_id, one in stated.items() if one.repurchase_days}
    of_age = {item_id.rsplit("-", 1)[0] for item_id, one in stated.items() if one.min_age_years}

    assert len(facts) == len(ratings) == 4_800
    assert 0.02 < len(ran_out) / 4_800 < 0.04
    assert out_now < ran_out  # The others came back.
    assert len(out_now) < 0.6 * len(ran_out)
    assert 410 < np.mean(ratings) < 430
    assert min(ratings) < 350 < 490 < max(ratings)
    assert 0.005 < sum(one.banned for one in facts) / 4_800 < 0.015
    assert consumable == {name for name in world.items.ids if name.startswith("coffee-")}
    assert of_age == {"kitchen", "books"}
    assert Counter(one.min_age_years for one in facts)[18] > 10
    assert {one.min_age_years for one in facts} == {0, 18}


def test_the_truth_says_what_is_out_of_stock_at_the_end() -> None:
    world, events = lived(2_400, 9, customers=5)
    newest: dict[str, int | None] = {}
    for event in events:
        if event.name == ITEM_LISTED and event.lines[0].facts:
            newest[event.lines[0].item_id] = event.lines[0].facts.stock

    rows = Listings.of(9, world.items, UNTIL_US).out_of_stock()

    assert {world.items.ids[row] for row in rows} == {k for k, stock in newest.items() if not stock}
    assert rows


@pytest.mark.parametrize("out", [set(), set(range(300))])
def test_live_stock_comes_and_goes_about_three_items_in_a_hundred(out: set[int]) -> None:
    room = Storeroom(1, 1_000, out)
    held = set(out)
    sizes, changes = [], 0
    for _ in range(200_000):
        listing = room.change()
        if listing is None:
            continue
        assert listing.again
        assert listing.facts is not None
        changes += 1
        if listing.facts.stock == 0:
            held.add(listing.item)
        else:
            assert listing.item in held
            held.remove(listing.item)
        sizes.append(len(held))

    assert 1_700 < changes < 2_300  # One call in a hundred.
    assert 0.7 * OUT_OF_STOCK < np.mean(sizes[1_000:]) / 1_000 < 1.3 * OUT_OF_STOCK
