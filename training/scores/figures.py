"""How good a score is: its order, its honesty, and what warning by it would bring.

Formulas are those of `training.metrics`; what is said here is which of them a score is judged by.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from training.metrics import at_alert_rate, brier, expected_calibration_error

# Axes: R rows, B bins, A alert rates.
Floats = npt.NDArray[np.float64]
Curve = dict[str, list[float]]
_RATES = np.linspace(0.02, 1.0, 50)
_DRAWS = 200


def figures(labels_R: Floats, chances_R: Floats, alert_rate: float) -> dict[str, float]:
    """AUC, average precision, ECE, Brier score, recall and precision at the alert rate.

    `ece_by_chance` is the ECE that chances exactly right would show on so few rows: the mean
    over outcomes drawn from the chances themselves. An ECE near it cannot be told from 0.
    Both outcomes must occur.
    """
    from sklearn.metrics import average_precision_score, roc_auc_score

    recall, precision = at_alert_rate(labels_R, chances_R, alert_rate)
    return {
        "auc": float(roc_auc_score(labels_R, chances_R)),
        "ap": float(average_precision_score(labels_R, chances_R)),
        "ece": expected_calibration_error(labels_R, chances_R),
        "ece_by_chance": ece_by_chance(chances_R),
        "brier": brier(labels_R, chances_R),
        "recall_at_alert": recall,
        "precision_at_alert": precision,
        "base_rate": float(labels_R.mean()),
        "mean_chance": float(chances_R.mean()),
        "test_rows": float(len(labels_R)),
    }


def ece_by_chance(chances_R: Floats, seed: int = 0) -> float:
    """The ECE to be expected when every chance is exactly right; see `figures`."""
    draw = np.random.default_rng(seed)
    return float(
        np.mean(
            [
                expected_calibration_error(
                    (draw.random(len(chances_R)) < chances_R).astype(np.float64), chances_R
                )
                for _ in range(_DRAWS)
            ]
        )
    )


def calibration_curve(labels_R: Floats, chances_R: Floats, bins: int = 10) -> Curve:
    """For bins of equal size: the mean `chance` stated, the share `seen`, and the `rows`."""
    order = np.argsort(chances_R, kind="stable")
    parts = [part for part in np.array_split(order, bins) if len(part)]
    return {
        "chance": [float(chances_R[part].mean()) for part in parts],
        "seen": [float(labels_R[part].mean()) for part in parts],
        "rows": [float(len(part)) for part in parts],
    }


def alert_curve(labels_R: Floats, chances_R: Floats) -> Curve:
    """Recall and precision when the highest-scored share of all is warned about, by that share."""
    found = [at_alert_rate(labels_R, chances_R, float(rate)) for rate in _RATES]
    return {
        "alert_rate": [float(rate) for rate in _RATES],
        "recall": [recall for recall, _ in found],
        "precision": [precision for _, precision in found],
    }


def alert_rate_for(labels_R: Floats, chances_R: Floats, recall: float) -> tuple[float, float]:
    """(alert rate, precision) at which warnings first reach a share of those concerned.

    Rows of equal score are taken in their order, as in `at_alert_rate`. NaN without any.
    """
    hits_R = np.cumsum(labels_R[np.argsort(-chances_R, kind="stable")])
    if not len(hits_R) or hits_R[-1] == 0:
        return float("nan"), float("nan")
    alerts = int(np.searchsorted(hits_R, recall * hits_R[-1] - 1e-9)) + 1
    return alerts / len(hits_R), float(hits_R[alerts - 1] / alerts)
