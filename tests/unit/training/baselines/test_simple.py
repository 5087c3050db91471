"""The rivals, against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from nearline.contracts.event import Kind
from nearline.transforms.buckets import DAY_US
from tests.unit.training.test_label_points import history
from training.baselines import (
    knowing,
    popular_items,
    popularity,
    ranks,
    recent_popularity,
    sequential_rules,
)
from training.evaluation.ranking import MISSED
from training.sequences import Questions


def question(items: list[int], target: int, at_us: int, seen: list[int]) -> Questions:
    row = np.array([[item + 1 for item in items]])
    return Questions(
        row, np.ones_like(row), np.array([target]), np.array([at_us]), (np.array(seen, np.int64),)
    )


def test_rules_weigh_by_gap_and_by_age_of_the_history() -> None:
    data = history(*((0, item, Kind.VIEW, at) for at, item in enumerate([0, 1, 2])))
    # 0 -> 1 with 1, 0 -> 2 with 1/2, 1 -> 2 with 1

    scores = sequential_rules(data, 4)(question([0, 1], 2, 9, []))

    # newest item 1 speaks with 1, item 0 with 0.6
    assert scores[0].tolist() == pytest.approx([0.0, 0.6 * 1, 1 + 0.6 * 0.5, 0.0])


def test_rules_never_cross_from_one_customer_to_the_next() -> None:
    data = history((0, 0, Kind.VIEW, 1), (1, 1, Kind.VIEW, 2))

    assert not sequential_rules(data, 2)(question([0], 1, 9, [])).any()


def test_recent_popularity_sees_the_days_before_the_questions_own() -> None:
    data = history(
        (0, 0, Kind.VIEW, 1 * DAY_US),
        (0, 1, Kind.VIEW, 9 * DAY_US + 5),
        (0, 2, Kind.VIEW, 10 * DAY_US + 1),  # on the day of the question
    )

    scores = recent_popularity(data, 3, days=7.0)(question([0], 1, 10 * DAY_US + 9, []))

    assert scores[0].tolist() == [0.0, 1.0, 0.0]


def test_ranks_pass_over_what_the_customer_has_met() -> None:
    data = history(*((0, item, Kind.VIEW, item) for item in [0, 0, 0, 1, 1, 2]))

    assert ranks(question([0], 2, 9, []), popularity(data, 3)).tolist() == [3]
    assert ranks(question([0], 2, 9, [0]), popularity(data, 3)).tolist() == [2]


def test_popular_items_weigh_kinds_lately_then_ever() -> None:
    data = history(
        (0, 0, Kind.VIEW, 1),
        (1, 0, Kind.VIEW, 1),  # item 0: 2 ever, 0 lately
        (2, 1, Kind.VIEW, 30 * DAY_US),  # item 1: 1 lately
        (3, 2, Kind.PURCHASE, 30 * DAY_US),  # item 2: 5 lately
        (4, 3, Kind.VIEW, 31 * DAY_US),  # after the instant
    )

    assert popular_items(data, 30 * DAY_US, days=7, limit=9) == [2, 1, 0]
    assert popular_items(data, 30 * DAY_US, days=7, limit=2) == [2, 1]


def test_an_item_that_arrived_later_is_never_found() -> None:
    data = history(*((0, item, Kind.VIEW, item) for item in [0, 1, 1, 2, 2, 2]))
    later = np.array([True, True, False])

    assert ranks(question([0], 2, 9, []), popularity(data, 3)).tolist() == [1]
    assert ranks(question([0], 2, 9, []), knowing(popularity(data, 3), later)).tolist() == [MISSED]
    assert ranks(question([0], 1, 9, []), knowing(popularity(data, 3), later)).tolist() == [1]
