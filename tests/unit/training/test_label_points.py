"""Moments and what should have been shown at them: labels lie strictly after."""

from __future__ import annotations

import numpy as np
import pytest

from nearline.contracts.event import Kind
from nearline.transforms.buckets import DAY_US, HOUR_US, MINUTE_US
from training.datasets import Interactions
from training.label_points import gains_of, points


def history(*rows: tuple[int, int, int, int]) -> Interactions:
    """(customer, item, kind, instant)."""
    customer, item, kind, at_us = (np.array(column, np.int64) for column in zip(*rows, strict=True))
    return Interactions(customer, item, kind, at_us, at_us)


def test_gains_are_those_of_the_strongest_interaction() -> None:
    items = np.array([1, 1, 2, 3, 3])
    kinds = np.array([Kind.VIEW, Kind.CART, Kind.VIEW, Kind.PURCHASE, Kind.VIEW])

    assert gains_of(items, kinds) == {1: 2, 2: 1, 3: 3}


def test_a_point_holds_what_follows_within_the_window_and_nothing_of_its_own_instant() -> None:
    first = 10 * DAY_US
    data = history(
        (0, 1, Kind.VIEW, first),
        (0, 2, Kind.VIEW, first + MINUTE_US),
        (0, 3, Kind.PURCHASE, first + 2 * HOUR_US),
        (0, 4, Kind.VIEW, first + 40 * HOUR_US),
    )

    found = points(data, 0, 20 * DAY_US, hours=24, per_customer=9, limit=9, seed=1)

    by_instant = {point.as_of_us: dict(point.gains) for point in found}
    assert by_instant[first - 1] == {1: 1, 2: 1, 3: 3}  # just before the session
    assert by_instant[first + MINUTE_US] == {3: 3}  # its own view is no label, item 4 too late
    assert first + 2 * HOUR_US not in by_instant  # nothing follows within the window


@pytest.mark.parametrize("end_hours", [23, 24])
def test_a_window_that_has_not_ended_by_the_end_of_the_part_is_no_point(end_hours: int) -> None:
    data = history((0, 1, Kind.VIEW, DAY_US), (0, 2, Kind.VIEW, DAY_US + MINUTE_US))

    found = points(data, 0, DAY_US + end_hours * HOUR_US, hours=24, per_customer=9, limit=9, seed=1)

    assert {point.as_of_us for point in found} == (
        {DAY_US - 1, DAY_US} if end_hours == 24 else set()
    )


def test_no_customer_gives_more_points_than_allowed_and_they_stand_in_time() -> None:
    rows = [(c, i, Kind.VIEW, (i + 1) * HOUR_US) for c in range(5) for i in range(60)]

    found = points(history(*rows), 0, 90 * HOUR_US, hours=24, per_customer=3, limit=12, seed=1)

    assert len(found) == 12
    assert max(np.bincount([point.customer for point in found])) <= 3
    assert [p.as_of_us for p in found] == sorted(p.as_of_us for p in found)


def test_where_only_purchases_count_nothing_else_is_met() -> None:
    first = 10 * DAY_US
    data = history(
        (0, 1, Kind.VIEW, first),
        (0, 1, Kind.CART, first + HOUR_US),
        (0, 2, Kind.PURCHASE, first + 2 * HOUR_US),
        (1, 3, Kind.VIEW, first),
        (1, 4, Kind.VIEW, first + HOUR_US),
    )

    found = points(
        data, 0, 20 * DAY_US, hours=24, per_customer=9, limit=9, seed=1, only=Kind.PURCHASE
    )

    assert found
    assert all(point.gains == {2: 3} for point in found)
