"""The curve that makes a probability of what trees say."""

from __future__ import annotations

import numpy as np
import pytest

from nearline.transforms.buckets import DAY_US
from training.config import ChurnConfig
from training.metrics import expected_calibration_error
from training.scores import learner
from training.scores.rows import Rows

CONFIG = ChurnConfig(trees=40, folds=3, calibration_snapshots=2, smallest_leaf=1.0)


def drawn(rows: int, seed: int = 1) -> Rows:
    """Two snapshots of customers who leave the likelier the larger their first feature."""
    draw = np.random.default_rng(seed)
    features = draw.normal(size=(rows, 3)).astype(np.float32)
    labels = (draw.random(rows) < 1 / (1 + np.exp(1.0 - 1.5 * features[:, 0]))).astype(float)
    return Rows(
        features, labels, np.arange(rows) // 2, (np.arange(rows) % 2).astype(np.int64) * DAY_US
    )


def test_the_curve_takes_back_what_is_said_too_boldly() -> None:
    draw = np.random.default_rng(2)
    honest = draw.uniform(0.05, 0.95, 20_000)
    labels = (draw.random(len(honest)) < honest).astype(float)
    odds = (honest / (1 - honest)) ** 3  # three times too sure of itself
    bold = odds / (1 + odds)

    curve = learner.curve_of(bold, labels)

    said = learner.calibrated(curve, bold)
    assert expected_calibration_error(labels, bold) > 0.1
    assert expected_calibration_error(labels, said) < 0.02
    np.testing.assert_array_equal(np.argsort(said), np.argsort(bold))  # nobody is tied


def test_nobody_is_told_that_leaving_is_certain_or_impossible() -> None:
    raw = np.repeat([0.001, 0.999], 24)
    curve = learner.curve_of(raw, (raw > 0.5).astype(float))

    said = learner.calibrated(curve, np.array([0.0, 0.001, 0.999, 1.0]))

    assert said.min() == pytest.approx(1 / 50)
    assert said.max() == pytest.approx(49 / 50)


def test_trees_that_order_the_wrong_way_say_the_same_of_everybody() -> None:
    raw = np.repeat([0.2, 0.8], 50)
    labels = np.repeat([1.0, 0.0], 50)
    labels[:20] = 0.0  # 30 of 100 came to pass, all where it was thought unlikely

    curve = learner.curve_of(raw, labels)

    assert learner.calibrated(curve, np.array([0.1, 0.5, 0.9])) == pytest.approx(
        np.full(3, 0.3), abs=1e-4
    )


def test_a_curve_rises_and_reaches_over_all_that_trees_may_say() -> None:
    _, curve = learner.learn(drawn(600), ("a", "b", "c"), CONFIG, seed=1, threads=1)

    assert (np.diff(curve["x"]) > 0).all()
    assert (np.diff(curve["y"]) >= 0).all()
    assert len(curve["x"]) == len(curve["y"])


def test_learning_is_repeatable_and_finds_what_is_there() -> None:
    train, test = drawn(4_000), drawn(4_000, seed=9)

    found = [learner.learn(train, ("a", "b", "c"), CONFIG, seed=1, threads=1) for _ in range(2)]

    chances = [learner.calibrated(curve, learner.raw(trees, test)) for trees, curve in found]
    np.testing.assert_array_equal(chances[0], chances[1])
    assert expected_calibration_error(test.labels_R, chances[0]) < 0.04
    assert np.corrcoef(chances[0], test.features_RF[:, 0])[0, 1] > 0.8


def test_a_customer_s_rows_are_all_in_one_fold() -> None:
    rows = drawn(300)

    fold_R = learner.folds(rows, 4, seed=3)

    assert set(fold_R.tolist()) == {0, 1, 2, 3}
    by_customer = {(who, fold) for who, fold in zip(rows.customer_R, fold_R, strict=True)}
    assert len(by_customer) == len(set(rows.customer_R.tolist()))


def test_heavier_weights_ruin_what_the_chances_mean() -> None:
    rows = drawn(4_000)
    fair, heavy = (
        learner.raw(learner.trees(rows, "abc", CONFIG, 1, 1, weight), rows) for weight in (1.0, 4.0)
    )

    assert abs(fair.mean() - rows.labels_R.mean()) < 0.02
    assert heavy.mean() > rows.labels_R.mean() + 0.15
