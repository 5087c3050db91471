"""Coverage, diversity, novelty and evenness, each worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from training.evaluation.beyond import (
    coverage,
    diversity,
    gini,
    novelty,
    popular_share,
)
from training.evaluation.chances import brier
from training.evaluation.segments import Segment, by_segment, of_questions
from training.sequences import Questions

LISTS = np.array([[0, 1, 2], [0, 1, -1], [0, -1, -1], [-1, -1, -1]])


def test_coverage_counts_items_shown_at_least_once() -> None:
    assert coverage(LISTS, 6) == 3 / 6
    assert np.isnan(coverage(LISTS[3:], 0))


def test_diversity_is_the_share_of_unlike_pairs() -> None:
    found = diversity(LISTS, ["tea", "tea", "cup"])

    assert found[:2].tolist() == pytest.approx([2 / 3, 0.0])
    assert np.isnan(found[2:]).all()  # one item or none makes no pair


def test_novelty_is_the_mean_information_in_bits() -> None:
    counts = np.array([4, 2, 0, 2])  # shares 1/2, 1/4, as if 1/8

    found = novelty(LISTS, counts)

    assert found[:3].tolist() == pytest.approx([(1 + 2 + 3) / 3, 1.5, 1.0])
    assert np.isnan(found[3])
    assert np.isnan(novelty(LISTS, np.zeros(4, np.int64))).all()


def test_gini_is_nothing_when_all_are_shown_alike_and_largest_for_one_item() -> None:
    assert gini(np.array([[0, 1], [2, 3]]), 4) == 0
    assert gini(np.array([[2], [2]]), 4) == pytest.approx(3 / 4)
    # places 1, 3: half the mean absolute difference over the mean, (3 - 1) / (2 * 2) / 2
    assert gini(np.array([[0], [1], [1], [1]]), 2) == pytest.approx(0.25)
    assert np.isnan(gini(LISTS[3:], 4))


def test_the_share_of_the_popular_counts_places_not_items() -> None:
    counts = np.array([9, 1, 1, 1, 1, 1, 1, 1, 1, 1])

    assert popular_share(LISTS, counts, top=0.1) == 3 / 6
    assert popular_share(LISTS, counts, top=0.0) == 3 / 6  # at least one item
    assert np.isnan(popular_share(LISTS[3:], counts))


def test_brier_by_hand() -> None:
    labels, chances = np.array([1.0, 0.0, 1.0]), np.array([0.8, 0.85, 0.1])

    assert brier(labels, chances) == pytest.approx((0.04 + 0.7225 + 0.81) / 3)
    assert np.isnan(brier(np.zeros(0), np.zeros(0)))


def test_segments_tell_who_asked_and_for_what() -> None:
    questions = Questions(
        np.array([[0, 0, 1], [1, 2, 3]]),
        np.ones((2, 3), np.int64),
        np.array([0, 3]),
        np.zeros(2, np.int64),
        (np.zeros(0, np.int64),) * 2,
    )
    marks = of_questions(
        questions,
        np.array([True, False]),
        np.array([True, True, True, False]),
        ["Green tea", "", "", "cup"],
    )

    found = by_segment(np.array([0.25, 0.75]), marks)

    assert found == {
        "customer_new": Segment(0.25, 1),
        "customer_returning": Segment(0.75, 1),
        "history_1_2": Segment(0.25, 1),
        "history_3_9": Segment(0.75, 1),
        "item_cold": Segment(0.75, 1),
        "category_green_tea": Segment(0.25, 1),
        "category_cup": Segment(0.75, 1),
    }
    assert by_segment(np.array([np.nan, 1.0]), {"all": np.ones(2, bool)}) == {"all": Segment(1, 1)}
