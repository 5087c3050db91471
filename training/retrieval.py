"""Candidates for past moments, made by the very functions that serving uses."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from nearline.transforms.candidates import (
    Candidate,
    Catalogue,
    depth,
    encoder_input,
    encoder_proposals,
    excluded_ids,
    merge,
)
from nearline.transforms.content import ContentTable
from nearline.transforms.covisits import CovisitTable
from nearline.transforms.customer import CustomerState
from nearline.transforms.sources import Sources, propose
from nearline.transforms.taste import (
    ARRIVALS_AT_MOST,
    NO_ARRIVALS,
    Arrivals,
    Contents,
    naming_order,
    units_of,
)
from training.datasets import Dataset

# Axes: Q questions, I items, N items that came later, D dimensions, L places in the history.
FloatID = npt.NDArray[np.float32]
FloatND = npt.NDArray[np.float32]
FloatD = npt.NDArray[np.float32]
Queries = Callable[[npt.NDArray[np.int64], npt.NDArray[np.int64]], FloatID]

_AT_ONCE = 256


@dataclass(frozen=True)
class Retriever:
    """One encoder with its index and the other sources, as a bundle would hold them.

    `later` holds what came after that bundle: `candidates` adds it as it came.
    """

    queries: Queries  # (Q, L) items and kinds -> (Q, D)
    index: Any  # faiss, exact inner product; answers item rows
    sources: Sources
    later: Later
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
        covisits: CovisitTable | None = None,
        content: ContentTable | None = None,
    ) -> Retriever:
        """What a bundle made at an instant would retrieve.

        Items that arrived later are not in its index and are passed over in a history; the
        moments after their arrival find them as serving does, by revisit and as arrivals.
        """
        known_N = np.flatnonzero(dataset.known_by(until_us))
        known = known_N.tolist()
        index = faiss.IndexIDMap(faiss.IndexFlatIP(vectors_ID.shape[1]))
        index.add_with_ids(np.ascontiguousarray(vectors_ID[known_N], np.float32), known_N)
        ids, categories = dataset.items.item_ids, dataset.categories_by(until_us)
        contents = None
        if content is not None:
            order = naming_order(known, popular, dataset.first_seen_us)
            contents = Contents.of(content, categories, dataset.prices_by(until_us), order)
        sources = Sources(
            known=Catalogue(ids, categories, {ids[row]: row for row in known}),
            catalogue=Catalogue(ids, categories, dataset.items.index_of),
            popular=popular,
            covisits=covisits,
            contents=contents,
        )
        later = Later.of(dataset, until_us, content)
        return cls(queries, index, sources, later, history_length)

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
        index_of = self.sources.known.index_of
        rows = [encoder_input(state, index_of, self.history_length) for state in states]
        excluded = [excluded_ids(state) for state in states]
        asked = min(max(depth("encoder", one) for one in excluded), self.index.ntotal)
        vectors = self.queries(
            np.stack([row[0] for row in rows]), np.stack([row[1] for row in rows])
        )
        scores, indices = self.index.search(vectors, asked)
        found = []
        for place, state in enumerate(states):
            known = bool(rows[place][0].any())  # A stranger has no query to search with.
            nearest = (
                encoder_proposals(indices[place].tolist(), scores[place].tolist()) if known else []
            )
            sources = replace(self.sources, arrivals=self.later.by(as_of_us[place]))
            proposals = propose(sources, state, nearest, excluded[place], as_of_us[place])
            found.append(merge(proposals, sources.catalogue, excluded[place]))
        return found


@dataclass(frozen=True)
class Later:
    """The items that came after a bundle was made, oldest first, with their vectors."""

    came_us: tuple[int, ...]
    rows: tuple[int, ...]
    units_ND: FloatND
    unit_of: Mapping[int, FloatD]

    @classmethod
    def of(cls, dataset: Dataset, after_us: int, content: ContentTable | None) -> Later:
        """Vectors of length 1 by the content table, or 0 without one."""
        came = np.array(dataset.first_seen_us, np.int64)
        order = np.lexsort((np.arange(len(came)), came))
        rows = order[came[order] > after_us].tolist()
        # What they came with: the newest that is known today would be the future's.
        categories_I, prices_I = dataset.categories_by(after_us), dataset.prices_by(after_us)
        categories = [categories_I[row] for row in rows]
        prices = [prices_I[row] for row in rows]
        units = (
            np.zeros((len(rows), 0), np.float32)
            if content is None
            else units_of(content, categories, prices)
        )
        return cls(
            tuple(came[rows].tolist()), tuple(rows), units, dict(zip(rows, units, strict=True))
        )

    def by(self, instant_us: int) -> Arrivals:
        """The newest that had come by an instant, newest first, as serving would stock them."""
        last = bisect_right(self.came_us, instant_us)
        part = slice(max(0, last - ARRIVALS_AT_MOST), last)
        return Arrivals(self.rows[part][::-1], self.units_ND[part][::-1], self.unit_of)


NOTHING_LATER = Later((), (), NO_ARRIVALS.units_ND, {})
