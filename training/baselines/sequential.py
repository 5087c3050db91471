"""Sequential rules: what followed the customer's items for others."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from training.baselines.scorer import Scorer, answers
from training.datasets import Interactions
from training.sequences import pairs_apart

# Axes: Q questions, I items.


class Weight(StrEnum):
    """What a rule's sum of 1 / gap is divided by."""

    COUNT = "count"  # nothing: items met often speak loudest
    SHARE = "share"  # meetings of the earlier item: its followers' shares
    COSINE = "cosine"  # root of the meetings of both


def sequential_rules(
    interactions: Interactions,
    items: int,
    gap: int = 5,
    decay: float = 0.6,
    weight: Weight = Weight.COUNT,
    repeats: bool = False,
) -> Scorer:
    """What followed the customer's items for others: gap up to `gap`, weight 1 / gap.

    An item k places back in the history speaks with weight `decay` to the power k; with 0 only
    the newest speaks (Ludewig and Jannach 2018, with decay). With `repeats` an item may follow
    itself, as in sessions.
    """
    pairs_from, pairs_to, weights = [], [], []
    for apart in range(1, gap + 1):
        earlier, later = pairs_apart(interactions, apart, repeats=repeats)
        pairs_from.append(earlier)
        pairs_to.append(later)
        weights.append(np.full(len(earlier), 1.0 / apart, np.float32))
    rules_II = sparse.csr_matrix(
        (np.concatenate(weights), (np.concatenate(pairs_from), np.concatenate(pairs_to))),
        shape=(items, items),
        dtype=np.float32,
    )
    met_I = np.maximum(np.bincount(interactions.item, minlength=items), 1).astype(np.float32)
    rules_II = _weighed(rules_II, met_I, weight)

    return answers(rules_II, items, decay)


def _weighed(rules_II: Any, met_I: npt.NDArray[np.float32], weight: Weight) -> Any:
    if weight is Weight.SHARE:
        return (sparse.diags(1 / met_I) @ rules_II).tocsr()
    if weight is Weight.COSINE:
        shrunk = sparse.diags(1 / np.sqrt(met_I))
        return (shrunk @ rules_II @ shrunk).tocsr()
    return rules_II
