"""Nearest neighbours of items: who met this also met that."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from training.baselines.scorer import Scorer, answers, met_matrix
from training.datasets import Interactions

# Axes: Q questions, C customers, I items.


def item_knn(
    interactions: Interactions, items: int, shrink: float = 10.0, decay: float = 0.8
) -> Scorer:
    """Cosine of the items' sets of customers, shrunk; every neighbour counts.

    similarity = both / (sqrt(one) sqrt(other) + shrink), where the three are numbers of
    customers: `shrink` holds back pairs that few have met (Sarwar et al. 2001). An item k
    places back in the history speaks with weight `decay` to the power k.
    """
    met_CI = met_matrix(interactions, items)
    both_II = (met_CI.T @ met_CI).tocoo()
    apart = both_II.row != both_II.col
    one, other = both_II.row[apart], both_II.col[apart]
    norm_I = np.sqrt(np.asarray(met_CI.sum(axis=0), np.float32).ravel())
    similar_II = sparse.csr_matrix(
        (both_II.data[apart] / (norm_I[one] * norm_I[other] + shrink), (one, other)),
        shape=(items, items),
        dtype=np.float32,
    )

    return answers(similar_II, items, decay)
