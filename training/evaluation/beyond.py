"""What accuracy does not see: how much of the catalogue is shown, how varied, how well known.

Lists hold item rows, best first; -1 marks a place that stayed empty and counts nowhere.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

# Axes: Q questions, K places in the list, I items.
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def figures(lists_QK: Ints, counts_I: Ints, categories: Sequence[str]) -> dict[str, float]:
    """All of these of some lists of ten, averaged over the lists where they are defined.

    `counts_I` says how often each item had been met before.
    """
    return {
        "coverage_at_10": coverage(lists_QK, len(counts_I)),
        "diversity_at_10": _mean(diversity(lists_QK, categories)),
        "novelty_at_10": _mean(novelty(lists_QK, counts_I)),
        "gini_at_10": gini(lists_QK, len(counts_I)),
        "popular_share_at_10": popular_share(lists_QK, counts_I),
    }


def coverage(lists_QK: Ints, items: int) -> float:
    """Share of the catalogue that stands in at least one list; NaN without items."""
    return len(np.unique(lists_QK[lists_QK >= 0])) / items if items else float("nan")


def diversity(lists_QK: Ints, categories: Sequence[str]) -> Floats:
    """Share of each list's pairs of items that differ in category (Ziegler et al. 2005).

    An unknown category ("") is one of its own, and two of them are alike. NaN for lists with
    fewer than two items.
    """
    _, number_I = np.unique(np.asarray(categories), return_inverse=True)
    numbers_QK = number_I[np.maximum(lists_QK, 0)]
    return _of_pairs(lists_QK, numbers_QK[:, :, None] != numbers_QK[:, None, :])


def novelty(lists_QK: Ints, counts_I: Ints) -> Floats:
    """Mean self-information of each list's items, -log2 of the item's share of interactions.

    Bits; higher is less known (Vargas and Castells 2011). An item without interactions counts
    as if it had one. NaN for empty lists or where nothing was ever met.
    """
    total = counts_I.sum()
    if not total:
        return np.full(len(lists_QK), np.nan)
    bits_I = -np.log2(np.maximum(counts_I, 1) / total)
    held_QK = lists_QK >= 0
    sums_Q = np.where(held_QK, bits_I[np.maximum(lists_QK, 0)], 0.0).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(sums_Q / held_QK.sum(axis=1), np.float64)


def gini(lists_QK: Ints, items: int) -> float:
    """How unevenly places are given to the catalogue: 0 all alike, (items - 1) / items one item.

    Gini's coefficient of the number of places of each item, those with none included. NaN
    without places.
    """
    counts_I = np.sort(np.bincount(lists_QK[lists_QK >= 0], minlength=items))
    total = counts_I.sum()
    if not total:
        return float("nan")
    ranks_I = np.arange(1, items + 1)
    return float((2 * ranks_I - items - 1) @ counts_I / (items * total))


def popular_share(lists_QK: Ints, counts_I: Ints, top: float = 0.1) -> float:
    """Share of all places held by the most met `top` of the catalogue (at least one item).

    Ties of counts go to the lower row. NaN without places.
    """
    held = lists_QK[lists_QK >= 0]
    if not len(held):
        return float("nan")
    best = np.argsort(-counts_I, kind="stable")[: max(1, round(top * len(counts_I)))]
    return float(np.isin(held, best).mean())


def _mean(values_Q: Floats) -> float:
    known = values_Q[~np.isnan(values_Q)]
    return float(known.mean()) if len(known) else float("nan")


def _of_pairs(lists_QK: Ints, values_QKK: npt.NDArray[np.generic]) -> Floats:
    """Mean over the pairs of two different, filled places."""
    held_QK = lists_QK >= 0
    upper_KK = np.triu(np.ones((lists_QK.shape[1],) * 2, bool), 1)
    pairs_QKK = held_QK[:, :, None] & held_QK[:, None, :] & upper_KK
    sums_Q = np.where(pairs_QKK, values_QKK, 0).sum(axis=(1, 2))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(sums_Q / pairs_QKK.sum(axis=(1, 2)), np.float64)
