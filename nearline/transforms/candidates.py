"""Retrieval without I/O: what goes into the encoder, and how its answer becomes candidates.

Training and serving call these same functions, so a ranker meets in production the
candidates, scores and ranks that it learnt from. Three sources propose items: `encoder`
(nearest to the query vector), `revisit` (seen lately, not bought) and `popular`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nearline.contracts.event import Kind
from nearline.transforms.buckets import DAY_US
from nearline.transforms.customer import KIND_WEIGHT, CustomerState
from nearline.transforms.ranking import SOURCES, Candidate

# Axes: B customers, L places in the history (oldest first).
IntL = npt.NDArray[np.int64]

ENCODER_LIMIT, REVISIT_LIMIT, POPULAR_LIMIT = 100, 30, 30  # Most items that each may name.
REVISIT_HALF_LIFE_US = 2 * DAY_US
_FUSION = 60.0  # Reciprocal rank fusion's constant (Cormack et al. 2009).


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The items of one bundle; the place in each tuple is the `item_index`."""

    item_ids: tuple[str, ...]
    categories: tuple[str, ...]  # "" where unknown
    index_of: Mapping[str, int]

    @classmethod
    def of(cls, item_ids: Sequence[str], categories: Sequence[str]) -> Catalogue:
        index_of = {item_id: index for index, item_id in enumerate(item_ids)}
        return cls(tuple(item_ids), tuple(categories), index_of)


@dataclass(frozen=True, slots=True)
class Proposal:
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


def encoder_depth(excluded: AbstractSet[str]) -> int:
    """How many neighbours to ask the index for, so that enough remain after exclusion."""
    return ENCODER_LIMIT + len(excluded)


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
    purchase 5), each halving every two days. Ties go to the smaller item_index.
    """
    scores: dict[int, float] = {}
    for recent in state.recent:
        index = index_of.get(recent.item_id)
        if index is not None:
            age_us = max(0, as_of_us - recent.at_us)
            weight = KIND_WEIGHT[Kind(recent.kind)] * math.pow(0.5, age_us / REVISIT_HALF_LIFE_US)
            scores[index] = scores.get(index, 0.0) + weight
    ordered = sorted(scores.items(), key=lambda pair: (-pair[1], pair[0]))
    return [Proposal(index, score) for index, score in ordered]


def popular_proposals(popular: Sequence[int]) -> list[Proposal]:
    """The bundle's popular items, scored 1 / rank."""
    return [Proposal(index, 1.0 / rank) for rank, index in enumerate(popular, start=1)]


def merge(
    proposals: Mapping[str, Sequence[Proposal]],
    catalogue: Catalogue,
    excluded: AbstractSet[str],
) -> list[Candidate]:
    """One candidate per item, best first by `fused_score`, ties to the smaller item_index.

    `proposals` maps a source to its list, best first. Excluded items vanish before ranks are
    given, so a rank counts what could be shown; each source is then cut to its limit
    (encoder 100, revisit 30, popular 30).
    """
    scores: dict[int, dict[str, float]] = {}
    ranks: dict[int, dict[str, int]] = {}
    for source in SOURCES:
        rank = 0
        for proposal in proposals.get(source, ()):
            if rank == _LIMITS[source]:
                break
            if catalogue.item_ids[proposal.item_index] in excluded:
                continue
            rank += 1
            scores.setdefault(proposal.item_index, {})[source] = proposal.score
            ranks.setdefault(proposal.item_index, {})[source] = rank
    candidates = [
        Candidate(
            catalogue.item_ids[index], index, catalogue.categories[index], by_source, ranks[index]
        )
        for index, by_source in scores.items()
    ]
    return sorted(candidates, key=lambda one: (-fused_score(one), one.item_index))


def fused_score(candidate: Candidate) -> float:
    """Reciprocal rank fusion over the sources: the order of retrieval when no ranker speaks."""
    return math.fsum(1.0 / (_FUSION + rank) for rank in candidate.ranks.values())


_LIMITS = {"encoder": ENCODER_LIMIT, "revisit": REVISIT_LIMIT, "popular": POPULAR_LIMIT}

__all__ = [
    "ENCODER_LIMIT",
    "POPULAR_LIMIT",
    "REVISIT_LIMIT",
    "Candidate",
    "Catalogue",
    "Proposal",
    "encoder_depth",
    "encoder_input",
    "encoder_proposals",
    "excluded_ids",
    "fused_score",
    "merge",
    "popular_proposals",
    "revisit_proposals",
]
