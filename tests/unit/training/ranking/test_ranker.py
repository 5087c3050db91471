"""What the ranker may not do, whatever it was taught."""

from __future__ import annotations

import math

import numpy as np
import pytest

from nearline.transforms.ranking import RANKER_FEATURES, SOURCES
from training.config import RankerConfig
from training.ranker import MONOTONE, fit, scores
from training.ranking_rows import Rows

CONFIG = RankerConfig(trees=15, patience=15)


def perverse(seed: int, feature: str, sign: int) -> Rows:
    """Questions whose items are better the *less* sense the feature makes, beside some noise."""
    draw = np.random.default_rng(seed)
    features = np.full((800, len(RANKER_FEATURES)), np.nan, np.float32)
    column = RANKER_FEATURES.index(feature)
    features[:, column] = draw.random(800) * 10
    features[:, RANKER_FEATURES.index("price_ratio")] = draw.normal(size=800)
    wrong = -sign * features[:, column] + features[:, RANKER_FEATURES.index("price_ratio")]
    gains = (wrong.reshape(-1, 20) > np.sort(wrong.reshape(-1, 20), axis=1)[:, [-4]]).astype(int)
    return Rows(features, gains.ravel(), np.repeat(np.arange(40), 20))


@pytest.mark.parametrize("feature", sorted(MONOTONE))
def test_no_lesson_turns_a_score_against_sense(feature: str) -> None:
    sign, reason = MONOTONE[feature]
    train, later = perverse(1, feature, sign), perverse(2, feature, sign)
    ladder = np.full((50, len(RANKER_FEATURES)), np.nan, np.float32)
    ladder[:, RANKER_FEATURES.index(feature)] = np.linspace(0, 10, 50)
    asked = Rows(ladder, np.zeros(50, np.int64), np.zeros(50, np.int64))

    held = scores(fit(train, later, CONFIG, seed=1, threads=1), asked)
    free = scores(fit(train, later, CONFIG, seed=1, threads=1, monotone={}), asked)

    assert (sign * np.diff(held) >= 0).all(), reason
    assert (sign * np.diff(free) < 0).any()  # it would have been learnt


def test_every_source_is_held_both_by_score_and_by_rank() -> None:
    assert {f"{source}_score" for source in SOURCES} <= set(MONOTONE)
    assert all(MONOTONE[f"{source}_rank"][0] == -1 for source in SOURCES)
    assert set(MONOTONE) <= set(RANKER_FEATURES)


def test_weights_decide_between_lessons_that_contradict_each_other() -> None:
    features = np.tile(np.array([[0.0], [1.0]], np.float32), (200, 1))
    first_wins, second_wins = np.array([1, 0]), np.array([0, 1])
    gains = np.concatenate([np.tile(first_wins, 100), np.tile(second_wins, 100)])
    config = RankerConfig(trees=20, patience=20, depth=2)

    def order(weights: list[float]) -> float:
        rows = Rows(features, gains, np.repeat(np.arange(200), 2), np.repeat(weights, 100))
        booster = fit(rows, rows, config, seed=1, threads=1, names=("price_ratio",))
        low, high = booster.inplace_predict(np.array([[0.0], [1.0]], np.float32))
        return float(high - low)

    assert order([3.0, 1.0]) < 0 < order([1.0, 3.0])


def test_rows_laid_end_to_end_keep_their_questions_and_weights() -> None:
    first = Rows(np.zeros((3, 1), np.float32), np.array([1, 0, 0]), np.array([0, 0, 1]))
    second = Rows(np.ones((2, 1), np.float32), np.array([0, 2]), np.array([0, 0]), np.array([2.5]))

    both = first.and_then(second)

    assert both.question_R.tolist() == [0, 0, 1, 2, 2]
    assert both.gains_R.tolist() == [1, 0, 0, 0, 2]
    assert both.weights_Q is not None
    assert both.weights_Q.tolist() == [1.0, 1.0, 2.5]
    assert math.isclose(float(both.features_RF.sum()), 2.0)
