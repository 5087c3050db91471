"""Item vectors from who meets what together: where the encoder starts, and what is new.

A shop's catalogue is wide and its history thin: an item that was met twice moves hardly at
all from a random start. So the start is the factorised co-occurrence of items (positive
pointwise mutual information, Levy and Goldberg 2014), and an item that arrives later starts
at the mean of its neighbours, or of its category.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import sparse
from scipy.sparse.linalg import svds

from training.datasets import Interactions
from training.sequences import pairs_apart

# Axes: I items, D dimensions.
FloatID = npt.NDArray[np.float32]

_GAP = 5
_SMOOTHING = 0.75  # Of the contexts' frequencies: damps pairs of rare items.


def cooccurrence(interactions: Interactions, items: int) -> sparse.csr_matrix:
    """(I, I), symmetric: 1 / gap for each time two items stand at most five places apart."""
    rows, columns, weights = [], [], []
    for gap in range(1, _GAP + 1):
        left, right = pairs_apart(interactions, gap)
        rows += [left, right]
        columns += [right, left]
        weights += [np.full(len(left), 1.0 / gap)] * 2
    return sparse.csr_matrix(
        (np.concatenate(weights), (np.concatenate(rows), np.concatenate(columns))),
        shape=(items, items),
    )


def start_vectors(interactions: Interactions, items: int, dimension: int, seed: int) -> FloatID:
    """(I, D) of unit length, near where items are met together; zero where nothing is known."""
    pairs = cooccurrence(interactions, items)
    vectors = np.zeros((items, dimension), np.float32)
    rank = min(dimension, items - 1, pairs.nnz)
    if rank < 1:
        return vectors
    mutual = _positive_mutual_information(pairs)
    left, strength, _ = svds(mutual, k=rank, random_state=np.random.default_rng(seed))
    vectors[:, :rank] = left * np.sqrt(np.maximum(strength, 0.0))
    return _scaled(vectors, 1.0)


def fill_cold(
    vectors_ID: FloatID,
    known_I: npt.NDArray[np.bool_],
    interactions: Interactions,
    categories: Sequence[str],
) -> FloatID:
    """A copy in which unknown items have a place among the known ones.

    First the mean of the items met beside them, then of their category's, then zero, scaled
    to the median length of the known.
    """
    items = len(vectors_ID)
    filled = vectors_ID.copy()
    if not known_I.any() or known_I.all():
        return filled
    only_known = sparse.diags(known_I.astype(np.float64))
    beside = np.asarray((cooccurrence(interactions, items) @ only_known) @ vectors_ID)
    names, category_of = np.unique(np.array(categories), return_inverse=True)
    of_category = sparse.csr_matrix(
        (known_I.astype(np.float64), (category_of, np.arange(items))), shape=(len(names), items)
    )
    by_category = np.asarray(of_category @ vectors_ID)[category_of]
    by_category[np.array([name == "" for name in categories])] = 0.0
    alone = ~np.any(beside != 0, axis=1)
    beside[alone] = by_category[alone]
    length = float(np.median(np.linalg.norm(vectors_ID[known_I], axis=1)))
    filled[~known_I] = _scaled(beside[~known_I], length)
    return filled


def _positive_mutual_information(pairs: sparse.csr_matrix) -> sparse.csr_matrix:
    weight_I = np.asarray(pairs.sum(axis=1)).ravel()
    context_I = weight_I**_SMOOTHING
    found = pairs.tocoo()
    mutual = np.log(found.data * context_I.sum() / (weight_I[found.row] * context_I[found.col]))
    positive = sparse.csr_matrix((np.maximum(mutual, 0.0), (found.row, found.col)), pairs.shape)
    return (positive + positive.T) / 2


def _scaled(vectors: npt.NDArray[np.floating], length: float) -> FloatID:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.where(norms > 1e-9, vectors / np.maximum(norms, 1e-9) * length, 0.0).astype(
        np.float32
    )
