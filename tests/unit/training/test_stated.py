"""What was stated of items, as of an instant."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nearline.contracts.event import ITEM_LISTED
from nearline.transforms.item import fold
from tests.unit.training.histories import START_US, met, write
from training.datasets import read
from training.stated import Stated


def test_each_item_has_what_was_newest_then_or_what_it_came_with() -> None:
    stated = Stated(np.array([0, 0, 2]), np.array([10, 20, 30]), ("shoes", "boots", "lamps"))

    came_us = (10, 1, 25)
    assert stated.by(9, "", came_us) == ("shoes", "", "lamps")
    assert stated.by(10, "", came_us) == ("shoes", "", "lamps")
    assert stated.by(20, "", came_us) == ("boots", "", "lamps")


def test_what_was_there_before_anything_was_stated_of_it_is_unknown_until_then() -> None:
    stated = Stated(np.array([0]), np.array([30]), ("lamps",))

    assert [stated.by(instant_us, "", (5,)) for instant_us in (4, 5, 29, 30)] == [
        ("lamps",), ("",), ("",), ("lamps",)
    ]  # fmt: skip


def test_statements_come_from_history_by_when_they_were_known(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        [
            met("ann", "a", START_US, category="shoes", price_cents=100),
            met("bob", "a", START_US + 1, category="shoes", price_cents=100),
            met("ann", "b", START_US + 2),
            met("ann", "a", START_US + 3, category="boots", known_after_us=7),
            met("ann", "a", START_US + 4, price_cents=90),
        ],
    )

    dataset = read(root)

    assert dataset.categories_by(START_US + 9) == ("shoes", "")
    assert dataset.categories_by(START_US + 10) == ("boots", "") == dataset.categories
    assert dataset.prices_by(START_US + 3) == (100, 0)
    assert dataset.prices_by(START_US + 4) == (90, 0) == dataset.prices_cents


def test_what_a_listing_states_stands_above_other_events_from_when_it_is_known(
    tmp_path: Path,
) -> None:
    root = write(
        tmp_path,
        [
            met("ann", "a", START_US + 5, category="gifts", price_cents=1),
            met("shop", "a", START_US, name=ITEM_LISTED, category="shoes", known_after_us=7),
            met("ann", "a", START_US + 9, category="other", price_cents=2),
        ],
    )

    dataset = read(root)

    assert dataset.categories_by(START_US + 6) == ("gifts",)
    assert dataset.categories_by(START_US + 7) == ("shoes",) == dataset.categories
    assert dataset.prices_by(START_US + 8) == (1,)  # The listing states none.
    assert dataset.prices_by(START_US + 9) == (2,) == dataset.prices_cents


@pytest.mark.parametrize("seed", range(5))
def test_at_any_instant_it_is_what_the_states_of_items_hold(tmp_path: Path, seed: int) -> None:
    """Ties, late events and listings among them: a bundle may not name another category."""
    draw = np.random.default_rng(seed)
    events = [
        met(
            f"c{number}",
            f"i{draw.integers(3)}",
            START_US + int(draw.integers(20)),
            name=str(draw.choice([ITEM_LISTED, "view_item", "purchase"], p=[0.2, 0.5, 0.3])),
            known_after_us=int(draw.integers(20)),
            price_cents=[None, 100, 200][draw.integers(3)],
            category=[None, "lamps", "shoes"][draw.integers(3)],
        )
        for number in range(60)
    ]

    dataset = read(write(tmp_path, events))

    for instant_us in range(START_US + 20, START_US + 40):  # All three have come by then.
        known = [event for event in events if event.known_at_us <= instant_us]
        states = [fold(item_id, known) for item_id in dataset.items.item_ids]
        assert dataset.categories_by(instant_us) == tuple(state.category for state in states)
        assert dataset.prices_by(instant_us) == tuple(state.price_cents for state in states)
    assert dataset.categories_by(dataset.known_to_us) == dataset.categories
    assert dataset.prices_by(dataset.known_to_us) == dataset.prices_cents
