"""The ranker's input: one row per candidate, assembled alike in training and in serving."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nearline.contracts.event import Kind
from nearline.transforms import customer, item
from nearline.transforms.buckets import HOUR_US
from nearline.transforms.customer import CUSTOMER_FEATURES, CustomerState
from nearline.transforms.item import ITEM_FEATURES, ItemState

# Axes: C candidates, F features, I item features.
FloatCF = npt.NDArray[np.float32]
FloatCI = npt.NDArray[np.float64]

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
_PRICE = ITEM_FEATURES.index("price_cents")
_NANS = (math.nan,) * len(SOURCES)


@dataclass(frozen=True, slots=True)
class Candidate:
    """An item that some source proposed, with each source's score and rank (from 1)."""

    item_id: str
    item_index: int  # row in the bundle
    category: str
    scores: Mapping[str, float]
    ranks: Mapping[str, int]


def item_rows(states: Sequence[ItemState], as_of_us: int) -> FloatCI:
    """`item.finish` of each item, columns as in `ITEM_FEATURES`; what `assemble` takes."""
    rows = np.empty((len(states), len(ITEM_FEATURES)))
    for place, state in enumerate(states):
        rows[place] = list(item.finish(state, as_of_us).values())
    return rows


def assemble(
    state: CustomerState, candidates: Sequence[Candidate], items_CI: FloatCI, as_of_us: int
) -> FloatCF:
    """One float32 row per candidate, columns as in `RANKER_FEATURES`; NaN where unknown.

    `items_CI` holds the items' own features (`item_rows`), in step with the candidates.
    """
    customer_values, shares = customer.finish_with_interests(state, as_of_us)
    usual_cents = customer_values["price_affinity_cents"]
    session = {recent.item_id for recent in customer.current_session(state, as_of_us)}
    seen: dict[str, list[customer.Recent]] = {}
    for recent in state.recent:
        seen.setdefault(recent.item_id, []).append(recent)
    first, second = len(CUSTOMER_FEATURES), len(CUSTOMER_FEATURES) + len(ITEM_FEATURES)
    rows = np.empty((len(candidates), len(RANKER_FEATURES)), dtype=np.float32)
    rows[:, :first] = [customer_values[name] for name in CUSTOMER_FEATURES]
    rows[:, first:second] = items_CI
    prices = items_CI[:, _PRICE].tolist()
    rows[:, second:] = [
        [
            *map(candidate.scores.get, SOURCES, _NANS),
            *map(candidate.ranks.get, SOURCES, _NANS),
            shares.get(candidate.category, 0.0) if candidate.category else math.nan,
            math.log(price / usual_cents) if price > 0 and usual_cents > 0 else math.nan,
            *_met(seen.get(candidate.item_id), as_of_us),
            candidate.item_id in session,
        ]
        for candidate, price in zip(candidates, prices, strict=True)
    ] or np.empty((0, len(CROSS_FEATURES)))
    return rows


def _met(before: Sequence[customer.Recent] | None, as_of_us: int) -> tuple[float, float, bool]:
    """How often a customer met an item lately, hours since the last time, and if in a cart."""
    if not before:
        return 0.0, math.nan, False
    carted = any(recent.kind == Kind.CART for recent in before)
    return float(len(before)), max(0, as_of_us - before[0].at_us) / HOUR_US, carted


__all__ = ["CROSS_FEATURES", "RANKER_FEATURES", "SOURCES", "Candidate", "assemble", "item_rows"]
