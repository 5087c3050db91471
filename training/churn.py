"""The churn models: one per horizon, calibrated, judged on a later snapshot where possible.

A model is judged on the newest snapshot whose horizon has ended, having learnt only from
snapshots whose horizon ended before it. What is served is then learnt by the same procedure
from the newest snapshots, so that the figures are those of the procedure one horizon ago.

Where the history is shorter than two horizons there is no such snapshot: then customers are
parted instead, and none is both learnt from and judged. The figures say which it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import xgboost

from nearline.transforms.buckets import DAY_US
from nearline.transforms.customer import CUSTOMER_FEATURES
from training.churn_rows import WARM_UP_DAYS, ChurnRows, instants, rows_at
from training.config import ChurnConfig
from training.datasets import Dataset
from training.metrics import at_alert_rate, expected_calibration_error
from training.states import States

# Axes: R rows (customers at snapshots).
Floats = npt.NDArray[np.float64]
_RECENCY = CUSTOMER_FEATURES.index("seen_age_hours")


@dataclass(frozen=True)
class ChurnModel:
    """One horizon: trees, the curve that makes their output a probability, and its figures.

    `curve` holds rising raw probabilities `x` and calibrated ones `y`, for `np.interp`.
    """

    name: str
    horizon_days: int
    booster: Any
    curve: dict[str, list[float]]
    metrics: dict[str, float]

    def probability(self, rows: ChurnRows) -> Floats:
        """(R,) calibrated, in [0, 1]."""
        return calibrated(self.curve, raw(self.booster, rows))


@dataclass(frozen=True)
class LeftOut:
    """A horizon that cannot be learnt yet, and why, in a sentence."""

    horizon_days: int
    why: str


def fit(
    dataset: Dataset,
    states: States,
    horizon_days: int,
    config: ChurnConfig,
    seed: int,
    threads: int,
    left_at_us: Mapping[str, int] | None = None,
) -> ChurnModel | LeftOut:
    """Learn one horizon, or say why not.

    `left_at_us` is the simulated truth, customer id -> instant of leaving for good; it is
    used for one more figure and for nothing else.
    """
    snapshots = instants(dataset, dataset.to_us, horizon_days, config)
    if not snapshots:
        return LeftOut(
            horizon_days,
            f"the history must cover more than {horizon_days + WARM_UP_DAYS} days and covers "
            f"{(dataset.to_us - dataset.from_us) / DAY_US:.0f}",
        )
    newest = snapshots[-1]
    matured = instants(dataset, newest, horizon_days, config)
    wanted = sorted({*snapshots, *matured})
    rows = rows_at(wanted, dataset, states, horizon_days, config.active_days)
    apart = np.random.default_rng(seed).random(len(dataset.customer_ids)) < config.parted_share
    temporal = bool(matured)
    if temporal:
        train, test = rows.at(matured), rows.at([newest])
    else:
        taught = rows.at(snapshots)
        train = taught.pick(~apart[taught.customer_R])
        test = taught.pick(apart[taught.customer_R] & (taught.at_us_R == newest))
    fewest = min(_fewest(train), _fewest(test))
    if fewest < config.min_class_rows:
        return LeftOut(
            horizon_days,
            f"a part of it has only {fewest} customers of one outcome, and "
            f"{config.min_class_rows} are needed",
        )
    name = f"churn_{horizon_days}d"
    booster, curve = _learn(train, config, seed, threads)
    chances = calibrated(curve, raw(booster, test))
    metrics = figures(test, chances, config.alert_rate) | {"temporal": float(temporal)}
    if left_at_us is not None:
        metrics |= truth_figures(test, chances, dataset, left_at_us, horizon_days)
    booster, curve = _learn(rows.at(snapshots), config, seed, threads)
    named = {f"{name}_{key}": value for key, value in metrics.items()}
    return ChurnModel(name, horizon_days, booster, curve, named)


def figures(test: ChurnRows, chances: Floats, alert_rate: float) -> dict[str, float]:
    """AUC, average precision, ECE, recall and precision at the alert rate, and what was easy."""
    from sklearn.metrics import average_precision_score, roc_auc_score

    recall, precision = at_alert_rate(test.labels_R, chances, alert_rate)
    return {
        "auc": float(roc_auc_score(test.labels_R, chances)),
        "ap": float(average_precision_score(test.labels_R, chances)),
        "ece": expected_calibration_error(test.labels_R, chances),
        "recall_at_alert": recall,
        "precision_at_alert": precision,
        "base_rate": float(test.labels_R.mean()),
        "recency_auc": float(roc_auc_score(test.labels_R, test.features_RF[:, _RECENCY])),
        "test_rows": float(len(test)),
    }


def truth_figures(
    test: ChurnRows,
    chances: Floats,
    dataset: Dataset,
    left_at_us: Mapping[str, int],
    horizon_days: int,
) -> dict[str, float]:
    """AUC against who really leaves for good within the horizon; none when nobody does."""
    from sklearn.metrics import roc_auc_score

    never = np.iinfo(np.int64).max
    left_R = np.array(
        [left_at_us.get(dataset.customer_ids[row], never) for row in test.customer_R], np.int64
    )
    gone_R = left_R <= test.at_us_R + horizon_days * DAY_US
    if gone_R.all() or not gone_R.any():
        return {}
    return {"truth_auc": float(roc_auc_score(gone_R, chances))}


def raw(booster: Any, rows: ChurnRows) -> Floats:
    """(R,): the trees' own probability, before calibration."""
    return np.asarray(booster.inplace_predict(rows.features_RF), np.float64)


def calibrated(curve: Mapping[str, list[float]], raw_R: Floats) -> Floats:
    """The calibrated probability of each raw one, as serving computes it."""
    return np.asarray(np.interp(raw_R, curve["x"], curve["y"]), np.float64)


def honest_ends(said_R: Floats) -> tuple[float, float]:
    """The least and the most that a curve may say, given what it says of each of its rows.

    Nobody leaves for certain: where n rows all stayed, or all left, the rule of succession
    allows 1 / (n + 2) or (n + 1) / (n + 2), and never more than the step beside it, so that the
    curve still rises.
    """
    inner = said_R[(said_R > 0.0) & (said_R < 1.0)]
    stayed, left = int((said_R == 0.0).sum()), int((said_R == 1.0).sum())
    lowest, highest = (float(inner.min()), float(inner.max())) if len(inner) else (1.0, 0.0)
    least = min(1.0 / (stayed + 2), lowest) if stayed else lowest
    most = max((left + 1) / (left + 2), highest) if left else highest
    if not len(inner) and not (stayed and left):  # One step alone is both ends.
        least = most = least if stayed else most
    return least, most


def _learn(
    train: ChurnRows, config: ChurnConfig, seed: int, threads: int
) -> tuple[Any, dict[str, list[float]]]:
    """Trees learnt from all rows, and a curve learnt from the newest snapshots, cross-fitted.

    For the curve, each fold of customers is scored by trees that never saw these customers.
    """
    from sklearn.isotonic import IsotonicRegression

    fold_R = np.random.default_rng(seed).integers(config.folds, size=train.customer_R.max() + 1)[
        train.customer_R
    ]
    newest = np.unique(train.at_us_R)[-config.calibration_snapshots :]
    asked_R = np.isin(train.at_us_R, newest)
    chances_R = np.zeros(len(train))
    for fold in range(config.folds):
        others = _trees(train.pick(fold_R != fold), config, seed, threads)
        own_R = asked_R & (fold_R == fold)
        chances_R[own_R] = raw(others, train.pick(own_R))
    isotonic = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip")
    said = isotonic.fit_transform(chances_R[asked_R], train.labels_R[asked_R])
    least, most = honest_ends(said)
    curve = {
        "x": [float(value) for value in isotonic.X_thresholds_],
        "y": [float(value) for value in np.clip(isotonic.y_thresholds_, least, most)],
    }
    return _trees(train, config, seed, threads), curve


def _trees(rows: ChurnRows, config: ChurnConfig, seed: int, threads: int) -> Any:
    matrix = xgboost.DMatrix(
        rows.features_RF,
        label=rows.labels_R,
        feature_names=list(CUSTOMER_FEATURES),
        nthread=threads,
    )
    # No scale_pos_weight: it ruins the probabilities (measured on Telco: ECE .025 to .141).
    parameters = {
        "objective": "binary:logistic",
        "max_depth": config.depth,
        "eta": config.learning_rate,
        "subsample": 0.8,
        "colsample_bytree": 0.8,
        "tree_method": "hist",
        "seed": seed,
        "nthread": threads,
    }
    return xgboost.train(parameters, matrix, num_boost_round=config.trees)


def _fewest(rows: ChurnRows) -> int:
    left = int(rows.labels_R.sum())
    return min(left, len(rows) - left)
