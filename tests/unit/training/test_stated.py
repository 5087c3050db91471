"""What was stated of items, as of an instant."""

from __future__ import annotations

from pathlib import Path

import numpy as np

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
