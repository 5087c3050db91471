"""Trees and the curve that makes of their output a probability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import xgboost
from scipy import optimize
from scipy.special import expit, logit

from training.config import ChurnConfig
from training.scores.rows import Rows

# Axes: R rows.
Floats = npt.NDArray[np.float64]
Curve = dict[str, list[float]]
_POINTS = 121  # of the tabulated curve; between them it is a line
_FARTHEST = 14.0  # log-odds that single precision can still tell from certainty


def learn(
    train: Rows, features: Sequence[str], config: ChurnConfig, seed: int, threads: int
) -> tuple[Any, Curve]:
    """Trees learnt from all rows, and a curve learnt from the newest snapshots, cross-fitted.

    For the curve, each fold of customers is scored by trees that never saw these customers.
    """
    newest = np.unique(train.at_us_R)[-config.calibration_snapshots :]
    asked_R = np.isin(train.at_us_R, newest)
    chances_R = np.zeros(len(train))
    fold_R = folds(train, config.folds, seed)
    for fold in range(config.folds):
        others = trees(train.pick(fold_R != fold), features, config, seed, threads)
        own_R = asked_R & (fold_R == fold)
        chances_R[own_R] = raw(others, train.pick(own_R))
    curve = curve_of(chances_R[asked_R], train.labels_R[asked_R])
    return trees(train, features, config, seed, threads), curve


def folds(rows: Rows, number: int, seed: int) -> npt.NDArray[np.int64]:
    """(R,) the fold of each row, 0 to number - 1; all rows of a customer are in the same."""
    drawn = np.random.default_rng(seed).integers(number, size=rows.customer_R.max(initial=0) + 1)
    return np.asarray(drawn[rows.customer_R], np.int64)


def trees(
    rows: Rows,
    features: Sequence[str],
    config: ChurnConfig,
    seed: int,
    threads: int,
    positive_weight: float = 1.0,
) -> Any:
    """An XGBoost booster of log-odds trees, not calibrated.

    Leave `positive_weight` at 1: other weights ruin the probabilities, as
    `make reproduce DATASET=telco` shows.
    """
    matrix = xgboost.DMatrix(
        rows.features_RF, label=rows.labels_R, feature_names=list(features), nthread=threads
    )
    parameters = {
        "objective": "binary:logistic",
        "max_depth": config.depth,
        "eta": config.learning_rate,
        "min_child_weight": config.smallest_leaf,
        "subsample": 0.8,
        "colsample_bytree": 0.8,
        "scale_pos_weight": positive_weight,
        "tree_method": "hist",
        "seed": seed,
        "nthread": threads,
    }
    return xgboost.train(parameters, matrix, num_boost_round=config.trees)


def raw(booster: Any, rows: Rows) -> Floats:
    """(R,): the trees' own probability, before calibration."""
    return np.asarray(booster.inplace_predict(rows.features_RF), np.float64)


def calibrated(curve: Mapping[str, list[float]], raw_R: Floats) -> Floats:
    """The calibrated probability of each raw one, as serving computes it."""
    return np.asarray(np.interp(raw_R, curve["x"], curve["y"]), np.float64)


def curve_of(raw_R: Floats, labels_R: Floats) -> Curve:
    """Rising raw probabilities `x` and calibrated ones `y`, for `np.interp`.

    Platt's sigmoid over the trees' log-odds, tabulated: a level and a slope. Unlike isotonic
    steps it never ties two customers, so the order stays (on Telco isotonic steps cost .015 of
    average precision), and two parameters hold on the few rows of a young shop. A slope below 0,
    from trees that learnt nothing, becomes 0.

    Nobody leaves for certain: by the rule of succession n rows allow no less than 1 / (n + 2) and
    no more than (n + 1) / (n + 2).
    """
    logits_R = _logit(raw_R)
    level, slope = _sigmoid(logits_R, labels_R)
    grid = np.linspace(logits_R.min() - 1.0, logits_R.max() + 1.0, _POINTS)
    least = 1.0 / (len(raw_R) + 2)
    said = np.clip(expit(level + slope * grid), least, 1.0 - least)
    return {
        "x": [float(value) for value in expit(grid)],
        "y": [float(value) for value in said],
    }


def _sigmoid(logits_R: Floats, labels_R: Floats) -> tuple[float, float]:
    """The most likely level and slope, the slope at least 0."""

    def badness(both: Floats) -> tuple[float, Floats]:
        at_R = both[0] + both[1] * logits_R
        gap_R = expit(at_R) - labels_R
        bad = float((np.logaddexp(0.0, at_R) - labels_R * at_R).mean())
        return bad, np.array([gap_R.mean(), (gap_R * logits_R).mean()])

    found = optimize.minimize(
        badness,
        np.array([0.0, 1.0]),
        jac=True,
        method="L-BFGS-B",
        bounds=[(-_FARTHEST, _FARTHEST), (0.0, 10.0)],
    )
    level, slope = found.x.tolist()
    return level, slope


def _logit(chances_R: Floats) -> Floats:
    return np.asarray(np.clip(logit(chances_R), -_FARTHEST, _FARTHEST), np.float64)
