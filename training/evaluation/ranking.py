"""How well lists are ranked, defined once; full ranking always, never a sample of negatives.

Nothing here averages over questions without a target: they are NaN, and callers leave them out
and say how many remain (what papers do differs, Tamm et al. 2021).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

# Axes: Q questions (customer and instant), I items, K places in the list, best first.
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
MISSED = 1 << 40  # The place of a target that does not compete: beyond any k.


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


def precision_at_k(gains_QK: Floats, targets_Q: Ints, k: int) -> Floats:
    """Share of the first k places that hold a target; a list shorter than k is divided by k.

    NaN where a question has no target.
    """
    return _asked(np.asarray((gains_QK[:, :k] > 0).sum(axis=1) / k, np.float64), targets_Q)


def hit_at_k(gains_QK: Floats, targets_Q: Ints, k: int) -> Floats:
    """1 where any of the first k places holds a target, else 0: the papers' hit rate.

    With one target a question it equals recall. NaN where a question has no target.
    """
    found_Q = np.any(gains_QK[:, :k] > 0, axis=1)
    return _asked(np.where(found_Q, 1.0, 0.0), targets_Q)


def first_places(scores_QI: npt.NDArray[np.float32], k: int) -> Ints:
    """(Q, K): the k best item rows of each question, -1 where fewer compete.

    Items scored -inf do not compete. Equal scores stand by row; which of them take the last
    places is the same each time, but no rule. K is k, or the number of items if that is less.
    """
    width = min(k, scores_QI.shape[1])
    if width < scores_QI.shape[1]:  # A full sort of wide catalogues would cost most of the test.
        rows_QK = np.sort(np.argpartition(-scores_QI, width - 1, axis=1)[:, :width], axis=1)
    else:
        rows_QK = np.tile(np.arange(width), (len(scores_QI), 1))
    own_QK = np.take_along_axis(scores_QI, rows_QK, axis=1)
    order_QK = np.argsort(-own_QK, axis=1, kind="stable")
    competing_QK = ~np.isneginf(np.take_along_axis(own_QK, order_QK, axis=1))
    best_QK = np.take_along_axis(rows_QK, order_QK, axis=1)
    return np.where(competing_QK, best_QK, -1).astype(np.int64)


def ranks_of_targets(
    scores_QI: npt.NDArray[np.float32], targets_Q: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """The place (from 1) of each question's single target among all items.

    Items scored -inf do not compete. Ties count half against the target, rounded up, so a
    model that gives every item the same score stands in the middle, not first. A score that is no
    number counts against the model. A target that does not compete, or whose own score is no
    number, stands at `MISSED`, beyond any k.
    """
    own_Q1 = np.take_along_axis(scores_QI, targets_Q[:, None], axis=1)
    better_Q = (~(scores_QI <= own_Q1)).sum(axis=1)  # NaN is neither above nor below.
    tied_Q = (scores_QI == own_Q1).sum(axis=1) - 1
    place_Q = 1 + better_Q + (tied_Q + 1) // 2
    out_Q = np.isneginf(own_Q1[:, 0]) | np.isnan(own_Q1[:, 0])
    return np.where(out_Q, MISSED, place_Q).astype(np.int64)


def single_target(ranks_Q: npt.NDArray[np.int64], k: int) -> tuple[float, float]:
    """(recall@k, NDCG@k) when every question has one target; NaN, NaN without questions."""
    if len(ranks_Q) == 0:
        return float("nan"), float("nan")
    return float((ranks_Q <= k).mean()), float(single_ndcg(ranks_Q, k).mean())


def single_ndcg(ranks_Q: npt.NDArray[np.int64], k: int) -> Floats:
    """NDCG@k of each question with one target at this place: 1 / log2(place + 1), 0 beyond k."""
    return np.asarray(np.where(ranks_Q <= k, 1.0 / np.log2(ranks_Q + 1), 0.0), np.float64)


def _asked(values_Q: Floats, targets_Q: Ints) -> Floats:
    return np.where(targets_Q > 0, values_Q, np.nan)


def _dcg(gains_QK: Floats) -> Floats:
    discounts_K = 1.0 / np.log2(np.arange(2, gains_QK.shape[1] + 2))
    return np.asarray(gains_QK @ discounts_K, dtype=np.float64)
