"""Each figure against a value worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from training.evaluation.ranking import MISSED
from training.metrics import (
    at_alert_rate,
    expected_calibration_error,
    ndcg_at_k,
    paired_bootstrap,
    ranks_of_targets,
    recall_at_k,
    single_target,
)


def test_recall_is_the_share_of_targets_in_the_first_places() -> None:
    gains = np.array([[1.0, 0.0, 2.0, 1.0]])

    assert recall_at_k(gains, np.array([4]), 3).tolist() == [0.5]  # two of four
    assert recall_at_k(gains, np.array([4]), 4).tolist() == [0.75]
    assert math.isnan(recall_at_k(np.zeros((1, 4)), np.array([0]), 3)[0])


def test_ndcg_discounts_by_place_and_counts_missed_targets_in_the_ideal() -> None:
    gains = np.array([[0.0, 3.0, 1.0]])
    ideal = np.array([[3.0, 2.0, 1.0]])  # the target of gain 2 was never retrieved

    dcg = 3 / math.log2(3) + 1 / math.log2(4)
    best = 3 / math.log2(2) + 2 / math.log2(3) + 1 / math.log2(4)
    assert ndcg_at_k(gains, ideal, 3)[0] == pytest.approx(dcg / best)
    assert ndcg_at_k(ideal, ideal, 3).tolist() == [1.0]
    assert math.isnan(ndcg_at_k(gains, np.zeros((1, 3)), 3)[0])


def test_a_single_target_at_place_three_gives_half() -> None:
    recall, ndcg = single_target(np.array([3, 30]), 10)

    assert recall == 0.5
    assert ndcg == pytest.approx((1 / math.log2(4)) / 2)
    assert all(math.isnan(value) for value in single_target(np.zeros(0, np.int64), 10))


def test_ranks_count_better_items_half_the_ties_and_none_that_do_not_compete() -> None:
    scores = np.array(
        [
            [5.0, 4.0, 3.0, 2.0],  # target third
            [1.0, 1.0, 1.0, 1.0],  # three ties, half of them, rounded up, stand before it
            [-np.inf, 9.0, 1.0, -np.inf],  # the seen do not compete
            [1.0, 1.0, -np.inf, 1.0],  # a target that cannot compete is never found
        ],
        np.float32,
    )

    assert ranks_of_targets(scores, np.array([2, 0, 2, 2])).tolist() == [3, 3, 2, MISSED]


def test_a_model_that_says_no_numbers_is_last_not_first() -> None:
    nan = np.nan
    scores = np.array([[nan, nan, nan], [nan, 1.0, 2.0], [3.0, 1.0, nan]], np.float32)

    assert ranks_of_targets(scores, np.array([1, 2, 0])).tolist() == [MISSED, 2, 2]


def test_a_bootstrap_interval_holds_the_mean_and_is_the_same_for_the_same_seed() -> None:
    draw = np.random.default_rng(1)
    left, right = draw.normal(0.3, 1, 400), draw.normal(0.0, 1, 400)

    mean, low, high = paired_bootstrap(left, right, seed=5)

    assert mean == pytest.approx(float((left - right).mean()))
    assert low < mean < high
    assert (mean, low, high) == paired_bootstrap(left, right, seed=5)
    assert paired_bootstrap(left, left, seed=5) == (0.0, 0.0, 0.0)


def test_calibration_error_weighs_each_bins_gap_by_its_size() -> None:
    labels = np.array([1.0, 0.0, 1.0, 1.0])
    chances = np.array([0.15, 0.15, 0.95, 1.0])

    # bin 1: said .15, seen .5 (2 rows); bin 9: said .975, seen 1 (2 rows)
    assert expected_calibration_error(labels, chances) == pytest.approx(0.5 * 0.35 + 0.5 * 0.025)
    assert math.isnan(expected_calibration_error(np.zeros(0), np.zeros(0)))


def test_the_alert_rate_warns_the_highest_scores() -> None:
    labels = np.array([1.0, 0.0, 1.0, 0.0, 1.0])
    scores = np.array([0.9, 0.8, 0.7, 0.6, 0.1])

    assert at_alert_rate(labels, scores, 0.4) == (pytest.approx(1 / 3), 0.5)
    assert at_alert_rate(labels, scores, 0.0)[1] == 1.0  # at least one is warned
    assert math.isnan(at_alert_rate(np.zeros(2), np.zeros(2), 0.5)[0])


def test_a_lead_over_no_questions_is_no_number() -> None:
    assert all(map(math.isnan, paired_bootstrap(np.zeros(0), np.zeros(0), 1)))
