"""The ranker's input: one row per candidate, assembled alike in training and in serving."""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping, Sequence

import msgspec
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


class Candidate(msgspec.Struct, frozen=True):
    """An item that some source proposed, with each source's score and rank (from 1).

    A struct, as are the other values of which every answer makes hundreds: a frozen dataclass
    takes eight times as long to make (measured: 0.8 µs).
    """

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
    rows = np.empty((len(candidates), len(RANKER_FEATURES)), dtype=np.float32)
    first, second = len(CUSTOMER_FEATURES), len(CUSTOMER_FEATURES) + len(ITEM_FEATURES)
    rows[:, :first] = [customer_values[name] for name in CUSTOMER_FEATURES]
    rows[:, first:second] = items_CI
    third = second + 2 * len(SOURCES)
    _name_sources(rows[:, second:third], candidates)
    usual_cents = customer_values["price_affinity_cents"]
    rows[:, third] = [
        shares.get(one.category, 0.0) if one.category else math.nan for one in candidates
    ]
    rows[:, third + 1] = [
        math.log(price / usual_cents) if price > 0 and usual_cents > 0 else math.nan
        for price in items_CI[:, _PRICE].tolist()
    ]
    _remember(rows[:, third + 2 :], candidates, state, as_of_us)
    return rows


def _name_sources(cells_CS: FloatCF, candidates: Sequence[Candidate]) -> None:
    """Each source's score, then each one's rank; NaN where it did not name the item."""
    shape = (len(candidates), len(SOURCES))
    for first, named in (
        (0, [candidate.scores for candidate in candidates]),
        (len(SOURCES), [candidate.ranks for candidate in candidates]),
    ):
        values = [one.get(source, math.nan) for one in named for source in SOURCES]
        # By way of an array: numpy looks at each number of a list twice.
        cells_CS[:, first : first + len(SOURCES)] = np.asarray(array("d", values)).reshape(shape)


def _remember(
    cells_CM: FloatCF, candidates: Sequence[Candidate], state: CustomerState, as_of_us: int
) -> None:
    """How often the customer met each item lately, hours since, if in a cart, if in this visit."""
    newest: dict[str, int] = {}
    times: dict[str, int] = {}
    carted: set[str] = set()
    for recent in state.recent:  # newest first
        item_id = recent.item_id
        if item_id in times:
            times[item_id] += 1
        else:
            times[item_id], newest[item_id] = 1, recent.at_us
        if recent.kind == Kind.CART:
            carted.add(item_id)
    session = {recent.item_id for recent in customer.current_session(state, as_of_us)}
    met = [(row, one.item_id) for row, one in enumerate(candidates) if one.item_id in times]
    cells_CM[:] = (0.0, math.nan, 0.0, 0.0)
    if met:
        cells_CM[[row for row, _ in met]] = [
            (
                times[item_id],
                max(0, as_of_us - newest[item_id]) / HOUR_US,
                item_id in carted,
                item_id in session,
            )
            for _, item_id in met
        ]


__all__ = ["CROSS_FEATURES", "RANKER_FEATURES", "SOURCES", "Candidate", "assemble", "item_rows"]
