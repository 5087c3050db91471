"""Item vectors from what is known of an item without anybody having met it: category and price.

Learnt beside the item ids (training/encoder_content.py), so that a new item's vector lies among
those of the index and can be searched with the same query. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np
import numpy.typing as npt

# Axes: C categories, P price bands, D dimensions, N items asked about.
FloatND = npt.NDArray[np.float32]


class ContentTable(msgspec.Struct, frozen=True):
    """A vector per category and per price band; an item's vector is the sum of its two.

    Band p holds prices from `price_edges_cents[p - 1]` up to, not including,
    `price_edges_cents[p]`; a price of 0 is unknown and adds nothing. `prices` has one band more
    than there are edges. A category that the table lacks adds nothing.
    """

    categories: dict[str, list[float]]  # D floats each
    price_edges_cents: list[int]
    prices: list[list[float]]

    def knows(self, category: str) -> bool:
        """Whether an item of this category has a vector worth searching with."""
        return category in self.categories

    def vectors(self, categories: Sequence[str], prices_cents: Sequence[int]) -> FloatND:
        """(N, D) of items by their categories and prices, in step; zeros where nothing is known."""
        nothing = [0.0] * len(self.prices[0])
        place_of = {name: place for place, name in enumerate(dict.fromkeys(categories))}
        vectors = np.array([self.categories.get(name, nothing) for name in place_of])
        rows = vectors.reshape(-1, len(nothing))[[place_of[name] for name in categories]]
        prices_N = np.asarray(prices_cents, np.int64)
        bands_N = np.searchsorted(self.price_edges_cents, prices_N, side="right")
        priced_N = prices_N > 0
        rows[priced_N] += np.array(self.prices)[bands_N[priced_N]]
        return rows.astype(np.float32)
