"""Co-visitation: which items others met beside which, by the pair of events that joined them.

A table per pair holds each item's strongest companions. `browsed`: anything, then anything,
within one visit. `carted`: put in a cart or bought, then the same, within two weeks. `bought`:
bought, then bought. A customer's recent interaction speaks through the tables of its kind.
Learnt by training/covisits.py; read here, by training and serving alike. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nearline.contracts.event import Kind
from nearline.transforms.buckets import DAY_US
from nearline.transforms.customer import KIND_WEIGHT, CustomerState

# Axes: I items, K neighbours (strongest first), S interactions that speak.
IntIK = npt.NDArray[np.int32]
FloatIK = npt.NDArray[np.float32]

BROWSED, CARTED, BOUGHT = "browsed", "carted", "bought"
PAIRS = (BROWSED, CARTED, BOUGHT)
SPEAKS_THROUGH: Mapping[int, tuple[str, ...]] = {
    Kind.VIEW: (BROWSED,),
    Kind.FAVOURITE: (BROWSED,),
    Kind.CART: (BROWSED, CARTED),
    Kind.PURCHASE: (CARTED, BOUGHT),
}
SPEAKERS = 20  # The newest interactions that speak; older ones hardly would.
HALF_LIFE_US = 2 * DAY_US
FADE = 0.9  # Per interaction that came after: the newest item leads.


@dataclass(frozen=True, slots=True)
class Neighbours:
    """One pair's table: rows of companions (-1 where there are fewer than K), weights beside."""

    items_IK: IntIK
    weights_IK: FloatIK  # above 0 where there is a companion


@dataclass(frozen=True, slots=True)
class CovisitTable:
    """The tables of all pairs, over the same I items; row = `item_index`."""

    of_pair: Mapping[str, Neighbours]

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]], items: int) -> CovisitTable:
        """The reverse of `arrays`; raises ValueError where they make no table of so many items."""
        tables = {}
        for pair in PAIRS:
            names = f"{pair}_items", f"{pair}_weights"
            if any(name not in arrays for name in names):
                raise ValueError(f"co-visits hold no table {pair!r}")
            found, weights = arrays[names[0]], arrays[names[1]]
            if found.dtype != np.int32 or weights.dtype != np.float32:
                raise ValueError(f"co-visits {pair!r} are {found.dtype} and {weights.dtype}")
            if found.ndim != 2 or found.shape != weights.shape or len(found) != items:
                raise ValueError(
                    f"co-visits {pair!r} have the shapes {found.shape} and {weights.shape} "
                    f"for {items} items"
                )
            if found.size and not -1 <= int(found.min()) <= int(found.max()) < items:
                raise ValueError(f"co-visits {pair!r} point outside the {items} items")
            if not np.isfinite(weights).all():
                raise ValueError(f"co-visits {pair!r} have weights that are not finite")
            tables[pair] = Neighbours(found, weights)
        return cls(tables)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """The tables as named arrays, for an npz file."""
        named: dict[str, npt.NDArray[Any]] = {}
        for pair, table in self.of_pair.items():
            named[f"{pair}_items"] = table.items_IK
            named[f"{pair}_weights"] = table.weights_IK
        return named

    def companions(
        self, state: CustomerState, index_of: Mapping[str, int], as_of_us: int, at_most: int
    ) -> Iterator[tuple[int, float]]:
        """(item row, score) of what was met beside the customer's recent items, strongest first.

        The score sums the companions' weights over the newest 20 interactions with items of the
        table, each weighed by kind (view 1, favourite 2, cart 3, purchase 5), halving every two
        days and fading by 0.9 for each interaction after it. Ties go to the smaller row.
        """
        rows: dict[str, list[int]] = {pair: [] for pair in PAIRS}
        strengths: dict[str, list[float]] = {pair: [] for pair in PAIRS}
        place = 0
        for recent in state.recent:  # newest first
            row = index_of.get(recent.item_id)
            if row is None:
                continue
            age_us = max(0, as_of_us - recent.at_us)
            strength = KIND_WEIGHT[recent.kind] * math.pow(0.5, age_us / HALF_LIFE_US) * FADE**place
            for pair in SPEAKS_THROUGH[recent.kind]:
                rows[pair].append(row)
                strengths[pair].append(strength)
            place += 1
            if place == SPEAKERS:
                break
        items, scores = [], []
        for pair, table in self.of_pair.items():
            if rows[pair]:
                items.append(table.items_IK[rows[pair]].ravel())
                strength_S = np.array(strengths[pair])
                scores.append((table.weights_IK[rows[pair]] * strength_S[:, None]).ravel())
        if not items:
            return iter(())
        return _strongest(np.concatenate(items), np.concatenate(scores), at_most)

    def beside(self, pair: str, rows: Sequence[int]) -> Iterator[tuple[int, float]]:
        """(item row, weight) of what a pair's table holds beside some items, heaviest first.

        Weights are summed over the rows. Ties go to the smaller row. Rows that the table lacks
        say nothing; those given may be among what is found.
        """
        table = self.of_pair[pair]
        known = [row for row in rows if row < len(table.items_IK)]
        items = table.items_IK[known].ravel()
        weights = table.weights_IK[known].ravel().astype(np.float64)
        return _strongest(items, weights, len(items))


def _strongest(
    items: npt.NDArray[np.int32], scores: npt.NDArray[np.float64], at_most: int
) -> Iterator[tuple[int, float]]:
    kept = items >= 0
    found, place = np.unique(items[kept], return_inverse=True)
    summed = np.bincount(place, scores[kept], minlength=len(found))
    order = np.argsort(-summed, kind="stable")[:at_most]  # `found` rises: ties to the smaller.
    return zip(found[order].tolist(), summed[order].tolist(), strict=True)
