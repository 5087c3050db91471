"""What a simple retriever is: scores of all items for questions, and what is made of scores."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from training.datasets import Interactions
from training.metrics import ranks_of_targets
from training.sequences import Questions

# Axes: Q questions, C customers, I items, L places in the history (oldest first).
Scores = npt.NDArray[np.float32]
Scorer = Callable[[Questions], Scores]  # (Q, I), a new array each time: higher is better

CHUNK = 256  # Questions whose scores of all items are held at once.
_DENSE = 0.1  # Share of filled cells from which a full matrix answers faster than a sparse one
_DENSE_ITEMS = 10_000  # and the most items for which it is kept full.


def ranks(questions: Questions, scorer: Scorer) -> npt.NDArray[np.int64]:
    """The place of each question's target among all items that its customer has not met."""
    parts = questions.chunks(CHUNK)
    found = (ranks_of_targets(competing(part, scorer), part.targets_W) for part in parts)
    return np.concatenate([np.zeros(0, np.int64), *found])


def competing(questions: Questions, scorer: Scorer) -> Scores:
    """(Q, I): the scores, -inf for what the question's customer has met already."""
    scores_QI = scorer(questions)
    for row, seen in enumerate(questions.seen):
        scores_QI[row, seen] = -np.inf
    return scores_QI


def knowing(scorer: Scorer, known_I: npt.NDArray[np.bool_]) -> Scorer:
    """What a bundle with only these items can answer: it reads and names no others."""

    def scores(questions: Questions) -> Scores:
        scores_QI = scorer(questions.knowing(known_I))
        scores_QI[:, ~known_I] = -np.inf
        return scores_QI

    return scores


def added(first: Scorer, second: Scorer, share: float) -> Scorer:
    """The scores of the first and a share of those of the second."""

    def scores(questions: Questions) -> Scores:
        return np.asarray(first(questions) + np.float32(share) * second(questions), np.float32)

    return scores


def history_matrix(questions: Questions, items: int, decay: float = 1.0) -> Any:
    """(Q, I) sparse: what each history holds; an item k places back weighs decay to the power k.

    Items that stand in the history several times add up. With decay 0 only the newest speaks.
    """
    length = questions.items_WL.shape[1]
    decay_L = (decay ** np.arange(length - 1, -1, -1)).astype(np.float32)
    rows, places = np.nonzero(questions.items_WL)
    return sparse.csr_matrix(
        (decay_L[places], (rows, questions.items_WL[rows, places] - 1)),
        shape=(len(questions), items),
    )


def answers(links_II: Any, items: int, decay: float) -> Scorer:
    """Each history's items speak for the items that `links_II` (sparse) leads to."""
    filled = links_II.nnz / max(items * items, 1)
    if filled > _DENSE and items <= _DENSE_ITEMS:
        links_II = links_II.toarray()

    def scores(questions: Questions) -> Scores:
        found_QI = history_matrix(questions, items, decay) @ links_II
        dense_QI = found_QI.toarray() if sparse.issparse(found_QI) else found_QI
        return np.asarray(dense_QI, np.float32)

    return scores


def met_matrix(interactions: Interactions, items: int) -> Any:
    """(C, I) sparse of ones: who has met what, once or often."""
    customers = int(interactions.customer.max()) + 1 if len(interactions) else 0
    met_CI = sparse.csr_matrix(
        (np.ones(len(interactions), np.float32), (interactions.customer, interactions.item)),
        shape=(customers, items),
    )
    met_CI.sum_duplicates()
    met_CI.data[:] = 1.0
    return met_CI
