"""The newer ranking metrics by hand, and the lists they are told from."""

from __future__ import annotations

import math

import numpy as np
import pytest

from training.evaluation.ranking import first_places, hit_at_k, precision_at_k

GAINS = np.array([[0.0, 2.0, 0.0, 1.0], [0.0, 0.0, 0.0, 0.0]])
TARGETS = np.array([3, 0])


def test_precision_and_hit_by_hand() -> None:
    assert precision_at_k(GAINS, TARGETS, 4)[0] == 2 / 4
    assert hit_at_k(GAINS, TARGETS, 1)[0] == 0
    assert hit_at_k(GAINS, TARGETS, 2)[0] == 1


@pytest.mark.parametrize("metric", [precision_at_k, hit_at_k])
def test_a_question_without_target_has_no_figure(metric: object) -> None:
    assert callable(metric)
    assert math.isnan(metric(GAINS, TARGETS, 4)[1])


def test_an_empty_list_finds_nothing() -> None:
    empty, one = np.zeros((1, 0)), np.array([1])

    for metric in (precision_at_k, hit_at_k):
        assert metric(empty, one, 5).tolist() == [0.0]


def test_first_places_break_ties_by_row_and_leave_out_what_does_not_compete() -> None:
    scores = np.array([[1.0, 3.0, 3.0, -np.inf]], np.float32)

    assert first_places(scores, 2).tolist() == [[1, 2]]
    assert first_places(scores, 9).tolist() == [[1, 2, 0, -1]]
