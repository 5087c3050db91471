"""Which items a category holds, in the order in which they are named. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

# Axes: N items that may be named, by category and then in naming order.
IntN = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Shelf:
    """Where one category lies: its popular items, then the rest."""

    first: int
    rest: int
    end: int


_EMPTY = Shelf(0, 0, 0)


@dataclass(frozen=True, slots=True)
class Shelves:
    """The items of a bundle by category, and those that came after it; never changed.

    An item without a category lies on no shelf.
    """

    rows_N: IntN
    shelf_of: Mapping[str, Shelf]
    came: Mapping[str, tuple[int, ...]]  # Arrivals, newest first.

    @classmethod
    def of(cls, categories: Sequence[str], order: Sequence[int], popular: Sequence[int]) -> Shelves:
        """Categories by `item_index`; `order` as from `taste.naming_order`, `popular` first."""
        code_of: dict[str, int] = {}
        code_I = np.fromiter(
            (code_of.setdefault(name, len(code_of)) for name in categories),
            np.int32,
            len(categories),
        )
        order_N = np.asarray(order, np.int32)
        by_category_N = np.argsort(code_I[order_N], kind="stable")
        sizes = np.bincount(code_I[order_N], minlength=len(code_of))
        ends = np.cumsum(sizes).tolist()
        liked = np.intersect1d(order_N, np.asarray(popular, np.int32))
        leading = np.bincount(code_I[liked], minlength=len(code_of)).tolist()
        shelf_of = {
            name: Shelf(end - size, end - size + first, end)
            for name, size, first, end in zip(code_of, sizes.tolist(), leading, ends, strict=True)
            if name
        }
        return cls(order_N[by_category_N], shelf_of, {})

    def followed_by(self, rows: Sequence[int], categories: Sequence[str]) -> Shelves:
        """With items that came after the bundle, newest first; costs as much as they are many."""
        came: dict[str, list[int]] = {}
        for row, category in zip(rows, categories, strict=True):
            if category:
                came.setdefault(category, []).append(row)
        return replace(self, came={name: tuple(held) for name, held in came.items()})

    def named(self, category: str, at_most: int) -> list[int]:
        """Popular items of the category, then what came after the bundle, then the rest."""
        shelf = self.shelf_of.get(category, _EMPTY)
        rows: list[int] = self.rows_N[shelf.first : shelf.rest][:at_most].tolist()
        rows += self.came.get(category, ())[: at_most - len(rows)]
        rows += self.rows_N[shelf.rest : shelf.end][: at_most - len(rows)].tolist()
        return rows
