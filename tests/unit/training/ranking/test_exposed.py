"""Logged lists: who may be read, and which list a click belongs to."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nearline.contracts.event import EXPOSURE, Kind
from nearline.transforms.buckets import MINUTE_US
from tests.unit.training.histories import START_US, met, write
from training import datasets
from training.click_lessons import answered
from training.datasets import Interactions
from training.exposed import Shown


def test_lists_keep_the_order_shown_and_only_consenting_customers_are_read(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        [
            met("ann", "b", START_US),
            met("bob", "a", START_US, consent=("analytics",)),
            met("ann", "a", START_US + 1),
            met("ann", ("b", "gone", "a"), START_US + 9, name=EXPOSURE, consent=("analytics",)),
            met("bob", ("a", "b"), START_US + 8, name=EXPOSURE, consent=("analytics",)),
        ],
    )

    dataset = datasets.read(root)

    assert dataset.customer_ids == ("ann",)
    assert dataset.shown == (Shown(0, START_US + 9, (1, -1, 0)),)
    assert len(dataset.interactions) == 2  # what was shown is no interaction


def interactions(*rows: tuple[int, int, Kind, int]) -> Interactions:
    customer, item, kind, minute = (
        np.array(column, np.int64) for column in zip(*rows, strict=True)
    )
    return Interactions(customer, item, kind, minute * MINUTE_US, minute * MINUTE_US)


def test_a_click_belongs_to_the_newest_list_that_held_its_item() -> None:
    lists = [
        Shown(0, 10 * MINUTE_US, (1, 2)),
        Shown(0, 20 * MINUTE_US, (2, 3)),
        Shown(5, 20 * MINUTE_US, (2, 3)),
    ]
    log = interactions(
        (0, 4, Kind.VIEW, 24),  # never shown
        (0, 1, Kind.VIEW, 25),  # only the first list held it
        (0, 2, Kind.VIEW, 30),  # both held it
        (0, 2, Kind.CART, 31),
        (0, 3, Kind.VIEW, 200),  # too late to be of a list
        (1, 2, Kind.VIEW, 25),  # somebody else
    )

    found = answered(lists, log, after_us=0, until_us=1_000 * MINUTE_US)

    assert [point.gains for _, point in found] == [{1: 1}, {2: 2}, {}]
    assert [shown for shown, _ in found] == lists
    assert found[0][1].as_of_us == 10 * MINUTE_US - 1


def test_lists_outside_the_part_or_whose_hour_has_not_ended_do_not_count() -> None:
    log = interactions((0, 1, Kind.VIEW, 100))
    lists = [Shown(0, minute * MINUTE_US, (1,)) for minute in (10, 50, 90)]

    found = answered(lists, log, after_us=10 * MINUTE_US, until_us=120 * MINUTE_US)

    assert [shown.at_us for shown, _ in found] == [50 * MINUTE_US]
    assert found[0][1].gains == {1: 1}
