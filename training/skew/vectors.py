"""Ranker rows of a logged answer, computed again from states; and the bits in which two differ.

A source's score and rank come from a bundle's models, not from features: they are taken from the
logged row itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from nearline.served import Served
from nearline.transforms.customer import CustomerState
from nearline.transforms.item import ItemState
from nearline.transforms.ranking import RANKER_FEATURES, SOURCES, Candidate, assemble, item_rows

# Axes: C candidates, F ranker features, S sources.
FloatCF = npt.NDArray[np.float32]
BoolCF = npt.NDArray[np.bool_]

_SCORES = [RANKER_FEATURES.index(f"{source}_score") for source in SOURCES]
_RANKS = [RANKER_FEATURES.index(f"{source}_rank") for source in SOURCES]
SOURCE_FEATURES = frozenset(RANKER_FEATURES[place] for place in (*_SCORES, *_RANKS))


def candidates_of(record: Served, logged_CF: FloatCF) -> list[Candidate]:
    """The candidates as they were logged; `item_index` is unknown and reads as -1."""
    scores_CS, ranks_CS = logged_CF[:, _SCORES].tolist(), logged_CF[:, _RANKS].tolist()
    return [
        Candidate(
            item_id,
            -1,
            category,
            {name: one for name, one in zip(SOURCES, scores, strict=True) if not math.isnan(one)},
            {name: int(one) for name, one in zip(SOURCES, ranks, strict=True) if one == one},
        )
        for item_id, category, scores, ranks in zip(
            record.item_ids, record.categories, scores_CS, ranks_CS, strict=True
        )
    ]


def recomputed(
    record: Served,
    candidates: Sequence[Candidate],
    state: CustomerState,
    items: Sequence[ItemState],
) -> FloatCF:
    """(C, F): the same rows from other states, by the functions that serving and training share."""
    rows_CI = item_rows(items, record.as_of_us)
    return assemble(state, candidates, rows_CI, record.as_of_us)


def differing(left_CF: FloatCF, right_CF: FloatCF) -> BoolCF:
    """(C, F): where two matrices differ in at least one bit; two NaN are equal."""
    left, right = (np.ascontiguousarray(one).view(np.uint32) for one in (left_CF, right_CF))
    found: BoolCF = (left != right) & ~(np.isnan(left_CF) & np.isnan(right_CF))
    return found
