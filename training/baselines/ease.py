"""EASE: one linear model from all of a customer's items to each other item."""

from __future__ import annotations

import numpy as np
from scipy.linalg import lapack

from nearline.errors import PermanentError
from training.baselines.scorer import Scorer, Scores, history_matrix, met_matrix
from training.datasets import Interactions
from training.sequences import Questions

# Axes: Q questions, C customers, I items.
MOST_ITEMS = 20_000


class TooManyItems(PermanentError):
    """EASE inverts a matrix of items by items: its cost grows with the cube of their number."""

    def __init__(self, items: int, most: int) -> None:
        self.items, self.most = items, most
        super().__init__(
            f"EASE inverts a dense matrix of items by items: {items:,} items would take "
            f"{4 * items**2 / 2**30:.1f} GiB, and {most:,} are the most that it is tried with. "
            "Judge by the other simple models."
        )


def ease(
    interactions: Interactions,
    items: int,
    strength: float = 500.0,
    decay: float = 0.8,
    most_items: int = MOST_ITEMS,
) -> Scorer:
    """Ridge regression of each item on all others, in closed form (Steck 2019).

    P = inverse(met' met + strength I); weights = -P / diag(P), diagonal 0. `strength` is the
    paper's lambda. An item k places back in the history speaks with weight `decay` to the power
    k. Raises TooManyItems above `most_items`.
    """
    if items > most_items:
        raise TooManyItems(items, most_items)
    met_CI = met_matrix(interactions, items)
    gram_II = np.asfortranarray((met_CI.T @ met_CI).toarray(), np.float32)
    gram_II[np.diag_indices(items)] += strength
    # In place: at the limit each copy would take 1.5 GiB. Only the upper triangle is filled.
    upper_II, trouble = lapack.spotrf(gram_II, lower=0, overwrite_a=1)
    assert trouble == 0, "strength > 0 makes the matrix positive definite"
    inverse_II, trouble = lapack.spotri(upper_II, lower=0, overwrite_c=1)
    assert trouble == 0
    weights_II = np.triu(inverse_II) + np.triu(inverse_II, 1).T
    weights_II /= -weights_II.diagonal().copy()
    np.fill_diagonal(weights_II, 0.0)

    def scores(questions: Questions) -> Scores:
        return np.asarray(history_matrix(questions, items, decay) @ weights_II, np.float32)

    return scores
