"""Every number that training reports, defined once.

Ranking is always full: all items compete, never a sample of negatives. Nothing here averages
over customers without a target; callers leave them out and say how many remain.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

# Axes: Q questions (customer and instant), K places in the list, B bins, R bootstrap rounds.
Floats = npt.NDArray[np.float64]


def recall_at_k(gains_QK: Floats, targets_Q: npt.NDArray[np.int64], k: int) -> Floats:
    """Share of each question's targets that stand in the first k places.

    gains_QK holds the gain of the item at each place, best place first, 0 for an item that
    is no target. NaN where a question has no target. With more than k targets the most that
    can be reached is k / targets (the divisor is not cut to k).
    """
    hits = (gains_QK[:, :k] > 0).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(targets_Q > 0, hits / targets_Q, np.nan)


def ndcg_at_k(gains_QK: Floats, ideal_QK: Floats, k: int) -> Floats:
    """Discounted gain of the first k places over that of the best order possible.

    DCG = sum of gain / log2(place + 1), places from 1 (Järvelin and Kekäläinen 2002, gains
    linear). ideal_QK holds the gains of all of a question's targets, largest first, padded
    with 0: targets that retrieval missed count in the ideal. NaN where there is no target.
    With a single target of gain 1 this is 1 / log2(place + 1).
    """
    best = _dcg(ideal_QK[:, :k])
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(best > 0, _dcg(gains_QK[:, :k]) / best, np.nan)


def ranks_of_targets(
    scores_QI: npt.NDArray[np.float32], targets_Q: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """The place (from 1) of each question's single target among all items.

    Items scored -inf do not compete. Ties count half against the target, rounded up, so a
    model that gives every item the same score stands in the middle, not first.
    """
    own_Q1 = np.take_along_axis(scores_QI, targets_Q[:, None], axis=1)
    better_Q = (scores_QI > own_Q1).sum(axis=1)
    tied_Q = (scores_QI == own_Q1).sum(axis=1) - 1
    place_Q = 1 + better_Q + (tied_Q + 1) // 2
    return np.where(np.isneginf(own_Q1[:, 0]), scores_QI.shape[1], place_Q).astype(np.int64)


def single_target(ranks_Q: npt.NDArray[np.int64], k: int) -> tuple[float, float]:
    """(recall@k, NDCG@k) when every question has one target; NaN, NaN without questions."""
    if len(ranks_Q) == 0:
        return float("nan"), float("nan")
    found_Q = ranks_Q <= k
    return float(found_Q.mean()), float(np.where(found_Q, 1.0 / np.log2(ranks_Q + 1), 0.0).mean())


def paired_bootstrap(
    left_Q: Floats, right_Q: Floats, seed: int, rounds: int = 2_000
) -> tuple[float, float, float]:
    """Mean of left - right over questions, with its 95 % percentile interval."""
    difference_Q = left_Q - right_Q
    generator = np.random.default_rng(seed)
    picks_RQ = generator.integers(0, len(difference_Q), (rounds, len(difference_Q)))
    low, high = np.quantile(difference_Q[picks_RQ].mean(axis=1), [0.025, 0.975])
    return float(difference_Q.mean()), float(low), float(high)


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


def _dcg(gains_QK: Floats) -> Floats:
    discounts_K = 1.0 / np.log2(np.arange(2, gains_QK.shape[1] + 2))
    return np.asarray(gains_QK @ discounts_K, dtype=np.float64)
