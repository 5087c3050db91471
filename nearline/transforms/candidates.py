"""Retrieval without I/O: what goes into the encoder, and how proposals become candidates.

Training and serving call these same functions, so a ranker meets in production the
candidates, scores and ranks that it learnt from. Who proposes: `transforms.sources`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import msgspec
import numpy as np
import numpy.typing as npt

from nearline.transforms.buckets import DAY_US
from nearline.transforms.chains import ChainedColumn, ChainedMapping, Column
from nearline.transforms.customer import KIND_WEIGHT, CustomerState
from nearline.transforms.ranking import SOURCES, Candidate

# Axes: B customers, L places in the history (oldest first).
IntL = npt.NDArray[np.int64]

LIMITS: Mapping[str, int] = {  # Most items that each source may name; together 100 to 150.
    "encoder": 70,
    "revisit": 25,
    "covisit": 40,
    "content": 20,
    "popular": 20,
    "arrivals": 10,
}
REVISIT_HALF_LIFE_US = 2 * DAY_US
FUSION = 60.0  # Reciprocal rank fusion's constant (Cormack et al. 2009).


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The items of one bundle, or more; the row in each column is the `item_index`.

    `index_of` may hold fewer than there are rows: items that cannot be named yet.
    """

    item_ids: Column[str]
    categories: Column[str]  # "" where unknown
    index_of: Mapping[str, int]

    @classmethod
    def of(cls, item_ids: Sequence[str], categories: Sequence[str]) -> Catalogue:
        index_of = {item_id: index for index, item_id in enumerate(item_ids)}
        return cls(tuple(item_ids), tuple(categories), index_of)

    def followed_by(self, item_ids: Sequence[str], categories: Sequence[str]) -> Catalogue:
        """These items and, in the rows after theirs, others; costs as much as the others do.

        No item may be in both.
        """
        rows = range(len(self.item_ids), len(self.item_ids) + len(item_ids))
        return Catalogue(
            ChainedColumn(self.item_ids, item_ids),
            ChainedColumn(self.categories, categories),
            ChainedMapping(self.index_of, dict(zip(item_ids, rows, strict=True))),
        )


class Proposal(msgspec.Struct, frozen=True, gc=False):
    """One item that a source names; higher scores are better, comparable within the source."""

    item_index: int
    score: float


def encoder_input(
    state: CustomerState, index_of: Mapping[str, int], length: int
) -> tuple[IntL, IntL]:
    """The encoder's `items` and `kinds` rows of one customer: (L,) each, int64.

    Oldest first; item row + 1, padded with 0 on the left. Items that the bundle does not
    know are left out. A stranger's rows are all 0.
    """
    items, kinds = np.zeros(length, np.int64), np.zeros(length, np.int64)
    place = length
    for recent in state.recent:  # newest first
        index = index_of.get(recent.item_id)
        if index is None:
            continue
        if place == 0:
            break
        place -= 1
        items[place], kinds[place] = index + 1, recent.kind
    return items, kinds


def excluded_ids(state: CustomerState, also: Sequence[str] = ()) -> frozenset[str]:
    """Items that must not be shown: purchased ever, and what the caller names."""
    return frozenset(item_id for item_id, _ in state.purchased).union(also)


def depth(source: str, excluded: AbstractSet[str], limits: Mapping[str, int] = LIMITS) -> int:
    """How many items to ask a source for, so that enough remain after exclusion."""
    return limits[source] + len(excluded)


def encoder_proposals(indices: Sequence[int], scores: Sequence[float]) -> list[Proposal]:
    """One row of the index's answer, best first; FAISS fills missing places with -1."""
    return [
        Proposal(int(index), float(score))
        for index, score in zip(indices, scores, strict=True)
        if index >= 0
    ]


def revisit_proposals(
    state: CustomerState, index_of: Mapping[str, int], as_of_us: int
) -> list[Proposal]:
    """Items of the recent interactions, strongest first.

    The score sums the weights of an item's interactions (view 1, favourite 2, cart 3,
    purchase 5), each halving every two days. Ties go to the smaller item id, since an arrival's
    row is another in each bundle.
    """
    scores: dict[str, float] = {}
    for recent in state.recent:
        if recent.item_id in index_of:
            age_us = max(0, as_of_us - recent.at_us)
            weight = KIND_WEIGHT[recent.kind] * math.pow(0.5, age_us / REVISIT_HALF_LIFE_US)
            scores[recent.item_id] = scores.get(recent.item_id, 0.0) + weight
    ordered = sorted(scores.items(), key=lambda pair: (-pair[1], pair[0]))
    return [Proposal(index_of[item_id], score) for item_id, score in ordered]


def popular_proposals(popular: Sequence[int], at_most: int) -> list[Proposal]:
    """The bundle's most popular items, scored 1 / rank."""
    return [Proposal(index, 1.0 / rank) for rank, index in enumerate(popular[:at_most], start=1)]


def merge(
    proposals: Mapping[str, Sequence[Proposal]],
    catalogue: Catalogue,
    excluded: AbstractSet[str],
    limits: Mapping[str, int] = LIMITS,
) -> list[Candidate]:
    """One candidate per item, best first by `fused_score`, ties to the smaller item id.

    `proposals` maps a source to its list, best first. Excluded items vanish before ranks are
    given, so a rank counts what could be shown; each source is then cut to its limit.
    """
    index_of = catalogue.index_of
    withheld = {index_of[item_id] for item_id in excluded if item_id in index_of}
    scores: dict[int, dict[str, float]] = {}
    ranks: dict[int, dict[str, int]] = {}
    for source in sorted(proposals, key=_place):
        rank, most = 0, limits[source]
        for proposal in proposals[source]:
            row = proposal.item_index
            if rank == most:
                break
            if row in withheld:
                continue
            rank += 1
            if row not in ranks:
                scores[row], ranks[row] = {source: proposal.score}, {source: rank}
            elif source not in ranks[row]:  # Its first rank counts.
                scores[row][source], ranks[row][source] = proposal.score, rank
    item_ids, categories = catalogue.item_ids, catalogue.categories
    found = sorted((-fused(of_source), item_ids[row], row) for row, of_source in ranks.items())
    return [
        Candidate(item_id, row, categories[row], scores[row], ranks[row])
        for _, item_id, row in found
    ]


def fused_score(candidate: Candidate) -> float:
    """Reciprocal rank fusion over the sources: the order of retrieval when no ranker speaks."""
    return fused(candidate.ranks)


def fused(ranks: Mapping[str, int]) -> float:
    """The same of an item's ranks (from 1), by source."""
    return sum([1.0 / (FUSION + rank) for rank in ranks.values()])


def _place(source: str) -> tuple[int, str]:
    """The ranker's sources in its order, then the others by name."""
    return (SOURCES.index(source) if source in SOURCES else len(SOURCES), source)


__all__ = [
    "FUSION",
    "LIMITS",
    "Candidate",
    "Catalogue",
    "Proposal",
    "depth",
    "encoder_input",
    "encoder_proposals",
    "excluded_ids",
    "fused",
    "fused_score",
    "merge",
    "popular_proposals",
    "revisit_proposals",
]
