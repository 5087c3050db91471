"""A customer's taste by what items are (category, price), and the items nearest to it. Pure.

This finds what nobody has met enough to be learnt by its id: items of the bundle in a shop's
thin corners, and items that arrived after the bundle was made.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nearline.transforms.content import ContentTable
from nearline.transforms.customer import AFFINITY_HALF_LIFE_US, KIND_WEIGHT, CustomerState

# Axes: I items, M cells, N arrivals (newest first), A asked for, D dimensions.
FloatD = npt.NDArray[np.float32]
FloatAD = npt.NDArray[np.float32]
FloatND = npt.NDArray[np.float32]
IntI = npt.NDArray[np.int32]

ARRIVALS_AT_MOST = 2_000  # The newest that are searched.


@dataclass(frozen=True, slots=True)
class Contents:
    """The items of a bundle in cells: those of one category and price band share a vector.

    `cell_I` is -1 where the table does not know an item's category. `members` holds each
    cell's items, those to be named first first.
    """

    table: ContentTable
    cell_I: IntI
    units_MD: FloatND
    members: tuple[tuple[int, ...], ...]

    @classmethod
    def of(
        cls,
        table: ContentTable,
        categories: Sequence[str],
        prices_cents: Sequence[int],
        order: Sequence[int],
    ) -> Contents:
        """Categories and prices by `item_index`; `order` holds the items that may be named."""
        cells: dict[tuple[str, int], int] = {}
        cell_of = [
            cells.setdefault((category, band), len(cells)) if table.knows(category) else -1
            for category, band in zip(categories, _bands(table, prices_cents), strict=True)
        ]
        examples = [0] * len(cells)
        for row, cell in enumerate(cell_of):
            if cell >= 0:
                examples[cell] = row
        units = units_of(
            table, [categories[row] for row in examples], [prices_cents[row] for row in examples]
        )
        members: list[list[int]] = [[] for _ in cells]
        for row in order:
            if cell_of[row] >= 0:
                members[cell_of[row]].append(row)
        return cls(table, np.array(cell_of, np.int32), units, tuple(map(tuple, members)))

    def unit(self, row: int) -> FloatD | None:
        """An item's vector of length 1, None where nothing is known of it."""
        cell = int(self.cell_I[row])
        return None if cell < 0 else self.units_MD[cell]

    def nearest(self, taste_D: FloatD, at_most: int) -> list[tuple[int, float]]:
        """(item row, cosine in (0, 1]), cell by cell, nearest first; none behind the taste."""
        return self._named(self.units_MD @ taste_D, at_most)

    def nearest_to_any(self, units_AD: FloatAD, at_most: int) -> list[tuple[int, float]]:
        """The same for several vectors of length 1: a cell's best cosine counts."""
        return self._named(_best_cosine(self.units_MD, units_AD), at_most)

    def _named(self, cosine_M: FloatD, at_most: int) -> list[tuple[int, float]]:
        found: list[tuple[int, float]] = []
        for cell in np.argsort(-cosine_M, kind="stable").tolist():
            cosine = float(cosine_M[cell])
            if cosine <= 0.0 or len(found) >= at_most:
                break
            found += [(row, cosine) for row in self.members[cell][: at_most - len(found)]]
        return found


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Items that came after a bundle was made, newest first, with their rows and vectors.

    Vectors are of length 1, or 0 where nothing is known of the item (always, without a content
    table). `unit_of` finds them by row, and may hold more.
    """

    rows: tuple[int, ...]
    units_ND: FloatND
    unit_of: Mapping[int, FloatD]

    def nearest(self, taste_D: FloatD | None, at_most: int) -> list[tuple[int, float]]:
        """(item row, cosine), nearest first, ties newest first; without a taste all count 0."""
        if taste_D is None or not self.rows:
            return [(row, 0.0) for row in self.rows[:at_most]]
        return self._named(self.units_ND @ taste_D, at_most)

    def nearest_to_any(self, units_AD: FloatAD, at_most: int) -> list[tuple[int, float]]:
        """The same for several vectors of length 1: an arrival's best cosine counts."""
        return self._named(_best_cosine(self.units_ND, units_AD), at_most) if self.rows else []

    def _named(self, cosine_N: FloatD, at_most: int) -> list[tuple[int, float]]:
        places = np.arange(len(cosine_N))
        if 0 < at_most < len(cosine_N):  # To sort all 2,000 would take longer than all the rest.
            places = np.flatnonzero(cosine_N >= np.partition(cosine_N, -at_most)[-at_most])
        order = places[np.argsort(-cosine_N[places], kind="stable")][:at_most]
        return [(self.rows[place], float(cosine_N[place])) for place in order.tolist()]


NO_ARRIVALS = Arrivals((), np.zeros((0, 0), np.float32), {})


def taste_of(
    state: CustomerState,
    index_of: Mapping[str, int],
    contents: Contents,
    arrivals: Arrivals,
    as_of_us: int,
) -> FloatD | None:
    """The decayed mean of what the customer met lately, of length 1; None where unknown.

    `index_of` holds the bundle's items and the arrivals. An interaction weighs by kind (view 1,
    favourite 2, cart 3, purchase 5) and halves every seven days, as in
    `customer.category_affinity`.
    """
    vectors: list[FloatD] = []
    strengths: list[float] = []
    for recent in state.recent:
        row = index_of.get(recent.item_id)
        if row is None:
            continue
        came = arrivals.unit_of.get(row)
        vector = contents.unit(row) if came is None else came
        if vector is not None:
            age_us = max(0, as_of_us - recent.at_us)
            weight = KIND_WEIGHT[recent.kind]
            vectors.append(vector)
            strengths.append(weight * math.pow(0.5, age_us / AFFINITY_HALF_LIFE_US))
    if not vectors:
        return None
    mean_D = np.asarray(strengths, np.float32) @ np.stack(vectors)
    length = float(np.linalg.norm(mean_D))
    return mean_D / np.float32(length) if length > 1e-9 else None


def naming_order(
    rows: Sequence[int], popular: Sequence[int], first_seen_us: Sequence[int]
) -> list[int]:
    """Items in the order in which a cell names them: popular ones, then the newest."""
    allowed = set(rows)
    first = [row for row in popular if row in allowed]
    rest = allowed.difference(first)
    return first + sorted(rest, key=lambda row: (-first_seen_us[row], row))


def units_of(
    table: ContentTable, categories: Sequence[str], prices_cents: Sequence[int]
) -> FloatND:
    """(N, D) of length 1, or 0 where the table does not know the category."""
    vectors = table.vectors(categories, prices_cents)
    known = np.array([table.knows(category) for category in categories], bool)
    norms = np.linalg.norm(vectors, axis=1)
    usable = known & (norms > 1e-9)
    return np.where(usable[:, None], vectors / np.where(usable, norms, 1.0)[:, None], 0.0).astype(
        np.float32
    )


def _best_cosine(units_ND: FloatND, units_AD: FloatAD) -> FloatD:
    """(N,): to six places, so that a vector's equals tie whatever they are multiplied with."""
    best: FloatD = (units_ND @ units_AD.T).max(axis=1).round(6)
    return best


def _bands(table: ContentTable, prices_cents: Sequence[int]) -> list[int]:
    """The price band of each, -1 where the price is unknown."""
    bands: list[int] = np.searchsorted(
        table.price_edges_cents, np.asarray(prices_cents, np.int64), side="right"
    ).tolist()
    return [band if price > 0 else -1 for band, price in zip(bands, prices_cents, strict=True)]
