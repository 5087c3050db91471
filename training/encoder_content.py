"""What the encoder may know of an item before anybody meets it: its category and its price band.

An item's vector is its own plus its category's plus its price band's. While it learns, items
lose their own part now and then ("id dropout", after DropoutNet, Volkovs et al. 2017), so the
other two learn to stand alone: they are the vector of an item that has just arrived.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nearline.transforms.content import ContentTable

# Axes: I items.
Ints = npt.NDArray[np.int64]

_BANDS = 12


@dataclass(frozen=True)
class ItemContent:
    """Category and price band of each item as numbers; 0 is unknown."""

    names: tuple[str, ...]  # category c + 1 is names[c]
    category_I: Ints
    edges_cents: tuple[int, ...]  # as in `ContentTable`
    band_I: Ints  # band p of the table is p + 1 here

    @classmethod
    def of(
        cls,
        categories: Sequence[str],
        prices_cents: Sequence[int],
        known_I: npt.NDArray[np.bool_] | None = None,
    ) -> ItemContent | None:
        """From what a data set knows of its items; None when it knows no category at all.

        Categories and price bands are those of the items in `known_I` (all by default); bands
        hold about equally many of them each.
        """
        known = np.ones(len(categories), bool) if known_I is None else known_I
        held = {name for name, is_known in zip(categories, known, strict=True) if name and is_known}
        names = tuple(sorted(held))
        if not names:
            return None
        prices = np.asarray(prices_cents, np.int64)
        stated = prices[(prices > 0) & known]
        shares = np.arange(1, _BANDS) / _BANDS
        edges = np.unique(np.quantile(stated, shares).astype(np.int64)) if len(stated) else stated
        return cls._placed(names, tuple(edges.tolist()), categories, prices)

    def restated(self, categories: Sequence[str], prices_cents: Sequence[int]) -> ItemContent:
        """The same categories and bands, with what is known of each item by another day.

        A category that was unknown when the bands were drawn stays so until the next training.
        """
        prices = np.asarray(prices_cents, np.int64)
        return self._placed(self.names, self.edges_cents, categories, prices)

    @classmethod
    def _placed(
        cls,
        names: tuple[str, ...],
        edges_cents: tuple[int, ...],
        categories: Sequence[str],
        prices_cents: Ints,
    ) -> ItemContent:
        number_of = {name: number for number, name in enumerate(names, start=1)}
        edges = np.asarray(edges_cents, np.int64)
        bands = np.searchsorted(edges, prices_cents, side="right") + 1
        return cls(
            names=names,
            category_I=np.array([number_of.get(name, 0) for name in categories], np.int64),
            edges_cents=edges_cents,
            band_I=np.where(prices_cents > 0, bands, 0),
        )

    def table(
        self, categories: npt.NDArray[np.float32], bands: npt.NDArray[np.float32]
    ) -> ContentTable:
        """The learnt vectors as serving reads them; row 0 of both is unknown and left out."""
        return ContentTable(
            categories=dict(zip(self.names, categories[1:].tolist(), strict=True)),
            price_edges_cents=list(self.edges_cents),
            prices=bands[1:].tolist(),
        )
