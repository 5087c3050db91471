"""How far a stated chance can be believed, and what warning by it finds."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

# Axes: N rows, B bins, R alert rates.
Floats = npt.NDArray[np.float64]


def brier(labels: Floats, chances: Floats) -> float:
    """Mean squared distance of chance and outcome (Brier 1950), in [0, 1]; NaN without rows."""
    return float(((chances - labels) ** 2).mean()) if len(labels) else float("nan")


def expected_calibration_error(labels: Floats, chances: Floats, bins: int = 10) -> float:
    """Mean gap between stated and seen frequency over equal-width bins, weighted by size.

    A chance of exactly 1 falls in the last bin. NaN without rows.
    """
    if len(labels) == 0:
        return float("nan")
    place = np.minimum((chances * bins).astype(np.int64), bins - 1)
    sizes_B = np.bincount(place, minlength=bins)
    stated_B = np.bincount(place, weights=chances, minlength=bins)
    seen_B = np.bincount(place, weights=labels, minlength=bins)
    return float(np.abs(stated_B - seen_B)[sizes_B > 0].sum() / len(labels))


def at_alert_rate(labels: Floats, scores: Floats, rate: float) -> tuple[float, float]:
    """(recall, precision) when the highest-scored `rate` of all rows is warned about.

    At least one row is. Rows of equal score are taken in their order. Recall is NaN when no
    row is positive.
    """
    alerts = max(1, round(rate * len(labels)))
    hits = float(labels[np.argsort(-scores, kind="stable")[:alerts]].sum())
    positives = float(labels.sum())
    return (hits / positives if positives else float("nan")), hits / alerts
