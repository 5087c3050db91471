"""The churn models: one per horizon, calibrated, judged on a later snapshot where possible.

A model is judged on the newest snapshot whose horizon has ended, having learnt only from
snapshots whose horizon ended before it. What is served is then learnt by the same procedure
from the newest snapshots, so that the figures are those of the procedure one horizon ago.

Where the history is shorter than two horizons there is no such snapshot: then customers are
parted instead, and none is both learnt from and judged. The figures say which it was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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

# Axes: R rows (customers at snapshots), C customers.
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
    groups = _groups(len(dataset.customer_ids), config.calibration_share, seed)
    temporal = bool(matured)
    if temporal:
        train = _part(rows, groups > 0, matured)
        calibration = _part(rows, groups == 0, matured[-config.calibration_snapshots :])
        test = _part(rows, groups >= 0, [newest])
    else:
        train = _part(rows, groups > 1, snapshots)
        calibration = _part(rows, groups == 0, snapshots[-config.calibration_snapshots :])
        test = _part(rows, groups == 1, [newest])
    fewest = min(_fewest(part) for part in (train, calibration, test))
    if fewest < config.min_class_rows:
        return LeftOut(
            horizon_days,
            f"a part of it has only {fewest} customers of one outcome, and "
            f"{config.min_class_rows} are needed",
        )
    name = f"churn_{horizon_days}d"
    booster, curve = _learn(train, calibration, config, seed, threads)
    chances = calibrated(curve, raw(booster, test))
    metrics = figures(test, chances, config.alert_rate) | {"temporal": float(temporal)}
    if left_at_us is not None:
        metrics |= truth_figures(test, chances, dataset, left_at_us, horizon_days)
    booster, curve = _learn(
        _part(rows, groups > 0, snapshots),
        _part(rows, groups == 0, snapshots[-config.calibration_snapshots :]),
        config,
        seed,
        threads,
    )
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


def _learn(
    train: ChurnRows, calibration: ChurnRows, config: ChurnConfig, seed: int, threads: int
) -> tuple[Any, dict[str, list[float]]]:
    from sklearn.isotonic import IsotonicRegression

    matrix = xgboost.DMatrix(
        train.features_RF,
        label=train.labels_R,
        feature_names=list(CUSTOMER_FEATURES),
        nthread=threads,
    )
    # No scale_pos_weight: it ruins the probabilities (TARGETS: ECE .025 becomes .141).
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
    booster = xgboost.train(parameters, matrix, num_boost_round=config.trees)
    # Nobody leaves for certain: a curve learnt from n rows may not say less than 1 / (n + 2).
    least = 1.0 / (len(calibration) + 2)
    isotonic = IsotonicRegression(y_min=least, y_max=1.0 - least, out_of_bounds="clip")
    isotonic.fit(raw(booster, calibration), calibration.labels_R)
    curve = {
        "x": [float(value) for value in isotonic.X_thresholds_],
        "y": [float(value) for value in isotonic.y_thresholds_],
    }
    return booster, curve


def _part(rows: ChurnRows, wanted_C: npt.NDArray[np.bool_], snapshots: Sequence[int]) -> ChurnRows:
    """The rows of some customers at some snapshots."""
    return rows.pick(wanted_C[rows.customer_R] & np.isin(rows.at_us_R, snapshots))


def _groups(customers: int, share: float, seed: int) -> npt.NDArray[np.int64]:
    """0 calibrates, 1 is tested where customers are parted, 2 and above is learnt from."""
    drawn = np.random.default_rng(seed).random(customers)
    return np.minimum(drawn // share, 2).astype(np.int64)


def _fewest(rows: ChurnRows) -> int:
    left = int(rows.labels_R.sum())
    return min(left, len(rows) - left)
