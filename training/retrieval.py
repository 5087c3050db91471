"""Candidates for past moments, made by the very functions that serving uses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from nearline.transforms.candidates import (
    Candidate,
    Catalogue,
    encoder_depth,
    encoder_input,
    encoder_proposals,
    excluded_ids,
    merge,
    popular_proposals,
    revisit_proposals,
)
from nearline.transforms.customer import CustomerState
from training.datasets import Dataset

# Axes: Q questions, I items, D dimensions, L places in the history.
FloatID = npt.NDArray[np.float32]
Queries = Callable[[npt.NDArray[np.int64], npt.NDArray[np.int64]], FloatID]

_AT_ONCE = 256


@dataclass(frozen=True)
class Retriever:
    """One encoder with its index and its popular items, as a bundle would hold them."""

    queries: Queries  # (Q, L) items and kinds -> (Q, D)
    index: Any  # faiss, exact inner product; answers item rows
    catalogue: Catalogue
    popular: Sequence[int]
    history_length: int

    @classmethod
    def of(
        cls,
        queries: Queries,
        vectors_ID: FloatID,
        dataset: Dataset,
        until_us: int,
        popular: Sequence[int],
        history_length: int,
    ) -> Retriever:
        """What a bundle made at an instant would retrieve.

        Items that arrived later are in neither its index nor its catalogue: not found, not
        revisited, and passed over in a history, as serving does.
        """
        known = np.flatnonzero(dataset.known_by(until_us))
        index = faiss.IndexIDMap(faiss.IndexFlatIP(vectors_ID.shape[1]))
        index.add_with_ids(np.ascontiguousarray(vectors_ID[known], np.float32), known)
        ids = dataset.items.item_ids
        index_of = {ids[row]: row for row in known.tolist()}
        return cls(
            queries,
            index,
            Catalogue(ids, dataset.categories, index_of),
            popular,
            history_length,
        )

    def candidates(
        self, states: Sequence[CustomerState], as_of_us: Sequence[int]
    ) -> list[list[Candidate]]:
        """The merged candidates of each state at its instant, in the order of retrieval."""
        found: list[list[Candidate]] = []
        for start in range(0, len(states), _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            found += self._some(states[part], as_of_us[part])
        return found

    def _some(
        self, states: Sequence[CustomerState], as_of_us: Sequence[int]
    ) -> list[list[Candidate]]:
        index_of = self.catalogue.index_of
        rows = [encoder_input(state, index_of, self.history_length) for state in states]
        excluded = [excluded_ids(state) for state in states]
        depth = min(max(map(encoder_depth, excluded)), self.index.ntotal)
        vectors = self.queries(
            np.stack([row[0] for row in rows]), np.stack([row[1] for row in rows])
        )
        scores, indices = self.index.search(vectors, depth)
        popular = popular_proposals(self.popular)
        found = []
        for place, state in enumerate(states):
            known = bool(rows[place][0].any())  # A stranger has no query to search with.
            proposals = {
                "encoder": encoder_proposals(indices[place].tolist(), scores[place].tolist())
                if known
                else [],
                "revisit": revisit_proposals(state, index_of, as_of_us[place]),
                "popular": popular,
            }
            found.append(merge(proposals, self.catalogue, excluded[place]))
        return found


def flat_index(vectors_ID: FloatID) -> Any:
    """An exact inner-product index; row = item_index. Good below about 200,000 items."""
    index = faiss.IndexFlatIP(vectors_ID.shape[1])
    index.add(np.ascontiguousarray(vectors_ID, np.float32))
    return index
