"""What a score is judged by."""

from __future__ import annotations

import math

import numpy as np
import pytest

from training.scores.figures import (
    alert_curve,
    alert_rate_for,
    calibration_curve,
    ece_by_chance,
    figures,
)

LABELS = np.array([1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0])
SCORES = np.linspace(0.95, 0.05, 10)  # already in order, most likely first


def test_the_alert_rate_is_the_least_that_reaches_the_recall_asked() -> None:
    assert alert_rate_for(LABELS, SCORES, 0.5) == (0.2, 1.0)
    assert alert_rate_for(LABELS, SCORES, 0.75) == (0.4, 0.75)
    assert alert_rate_for(LABELS, SCORES, 0.8) == pytest.approx((0.9, 4 / 9))
    assert all(map(math.isnan, alert_rate_for(np.zeros(3), np.ones(3), 0.8)))


def test_the_alert_curve_ends_with_everybody_warned() -> None:
    curve = alert_curve(LABELS, SCORES)

    assert curve["alert_rate"][-1] == curve["recall"][-1] == 1.0
    assert curve["precision"][-1] == pytest.approx(0.4)
    assert (np.diff(curve["recall"]) >= 0).all()
    assert curve["recall"][np.searchsorted(curve["alert_rate"], 0.4 - 1e-9)] == 0.75


def test_the_calibration_curve_sets_what_was_said_beside_what_came() -> None:
    curve = calibration_curve(LABELS, SCORES, bins=2)

    assert curve == {
        "chance": [pytest.approx(0.25), pytest.approx(0.75)],
        "seen": [pytest.approx(0.2), pytest.approx(0.6)],
        "rows": [5.0, 5.0],
    }


def test_a_perfect_score_of_few_rows_still_shows_an_error_and_of_many_none() -> None:
    few, many = (ece_by_chance(np.tile(np.linspace(0.05, 0.95, 10), n)) for n in (10, 4_000))

    assert 0.05 < few < 0.2
    assert many < 0.01


def test_figures_are_those_that_can_be_counted_by_hand() -> None:
    found = figures(LABELS, SCORES, alert_rate=0.4)

    assert (found["recall_at_alert"], found["precision_at_alert"]) == (0.75, 0.75)
    assert found["base_rate"] == pytest.approx(0.4)
    assert found["brier"] == pytest.approx(float(np.mean((LABELS - SCORES) ** 2)))
    # Pairs of a left and a stayed one in the right order: 6 + 6 + 5 + 1 of 24.
    assert found["auc"] == pytest.approx(18 / 24)
