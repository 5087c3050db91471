"""The ranker's input: one row per candidate, assembled alike in training and in serving."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nearline.contracts.event import Kind
from nearline.transforms import customer
from nearline.transforms.buckets import HOUR_US
from nearline.transforms.customer import CUSTOMER_FEATURES, CustomerState
from nearline.transforms.item import ITEM_FEATURES

# Axes: C candidates, F features.
FloatCF = npt.NDArray[np.float32]

# The order in which retrieval names them; see `transforms.sources`.
SOURCES = ("encoder", "revisit", "covisit", "content", "popular", "arrivals")
CROSS_FEATURES: tuple[str, ...] = (
    *(f"{source}_score" for source in SOURCES),  # NaN where the source did not name the item
    *(f"{source}_rank" for source in SOURCES),
    "category_share",  # share of the customer's recent interest that is in this category
    "price_ratio",  # price over the customer's usual price, log
    "seen_count",  # among the customer's recent interactions
    "seen_age_hours",
    "carted_before",
    "in_session",
)
RANKER_FEATURES: tuple[str, ...] = (
    *(f"customer_{name}" for name in CUSTOMER_FEATURES),
    *(f"item_{name}" for name in ITEM_FEATURES),
    *CROSS_FEATURES,
)


@dataclass(frozen=True, slots=True)
class Candidate:
    """An item that some source proposed, with each source's score and rank (from 1)."""

    item_id: str
    item_index: int  # row in the bundle
    category: str
    scores: Mapping[str, float]
    ranks: Mapping[str, int]


def assemble(
    state: CustomerState,
    candidates: Sequence[Candidate],
    item_values: Sequence[Mapping[str, float]],
    as_of_us: int,
) -> FloatCF:
    """One float32 row per candidate, columns as in `RANKER_FEATURES`; NaN where unknown.

    `item_values` holds `item.finish` of each candidate, in step with them.
    """
    customer_values = customer.finish(state, as_of_us)
    shares = customer.category_affinity(state, as_of_us)
    usual_cents = customer_values["price_affinity_cents"]
    session = {recent.item_id for recent in customer.current_session(state, as_of_us)}
    seen: dict[str, list[customer.Recent]] = {}
    for recent in state.recent:
        seen.setdefault(recent.item_id, []).append(recent)
    left = [customer_values[name] for name in CUSTOMER_FEATURES]
    rows = np.empty((len(candidates), len(RANKER_FEATURES)), dtype=np.float32)
    for row, (candidate, values) in enumerate(zip(candidates, item_values, strict=True)):
        price = values["price_cents"]
        before = seen.get(candidate.item_id, [])
        rows[row] = [
            *left,
            *(values[name] for name in ITEM_FEATURES),
            *(candidate.scores.get(source, math.nan) for source in SOURCES),
            *(float(candidate.ranks.get(source, math.nan)) for source in SOURCES),
            shares.get(candidate.category, 0.0) if candidate.category else math.nan,
            math.log(price / usual_cents) if price > 0 and usual_cents > 0 else math.nan,
            float(len(before)),
            max(0, as_of_us - before[0].at_us) / HOUR_US if before else math.nan,
            float(any(recent.kind == Kind.CART for recent in before)),
            float(candidate.item_id in session),
        ]
    return rows


__all__ = ["CROSS_FEATURES", "RANKER_FEATURES", "SOURCES", "Candidate", "assemble"]
