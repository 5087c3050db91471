"""Items that came after the bundles were made, stocked beside a bundle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from nearline.transforms.chains import ChainedColumn, Column
from nearline.transforms.shelves import Shelves
from nearline.transforms.sources import Sources
from nearline.transforms.taste import Arrivals, units_of
from serving.finder import Finder
from serving.items import ItemTable

# Axes: S rows asked about, N arrivals, D dimensions.
FloatSD = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Arrived:
    """An item that some bundle may not know; category "" and price 0 where not stated yet."""

    item_id: str
    category: str
    price_cents: int


@dataclass(frozen=True, slots=True)
class Stock:
    """A bundle's items with those that came after it, whose rows follow; never changed."""

    finder: Finder
    sources: Sources
    prices_cents: Column[int]
    shelves: Shelves

    @classmethod
    def of(cls, finder: Finder, came: Sequence[Arrived]) -> Stock:
        """`came` may hold items that the bundle knows: they are passed over.

        Costs as much as `came` is long, however large the bundle is: requests wait meanwhile.
        """
        known, first = finder.catalogue, len(finder.catalogue.item_ids)
        new = [one for one in came if one.item_id not in known.index_of]
        if not new:
            return cls(finder, finder.sources, finder.prices_cents, finder.shelves)
        ids = [one.item_id for one in new]
        categories, prices = [one.category for one in new], [one.price_cents for one in new]
        contents = finder.sources.contents
        units_ND = (
            units_of(contents.table, categories, prices)
            if contents is not None
            else np.zeros((len(new), finder.unit_vectors.shape[1]), np.float32)
        )
        rows = range(first, first + len(new))
        sources = replace(
            finder.sources,
            catalogue=known.followed_by(ids, categories),
            arrivals=Arrivals(tuple(rows), units_ND, dict(zip(rows, units_ND, strict=True))),
        )
        shelves = finder.shelves.followed_by(rows, categories)
        return cls(finder, sources, ChainedColumn(finder.prices_cents, prices), shelves)

    def units(self, rows: Sequence[int]) -> FloatSD:
        """The items' vectors, each of length 1 (or 0), arrivals' by content."""
        rows_S, first = np.asarray(rows), len(self.finder.unit_vectors)
        new = rows_S >= first
        vectors: FloatSD = self.finder.unit_vectors[np.where(new, 0, rows_S)]
        if new.any():
            vectors[new] = self.sources.arrivals.units_ND[rows_S[new] - first]
        return vectors


class Stocks:
    """The stock of each resident bundle, made anew when the arrivals changed."""

    def __init__(self) -> None:
        self._came: tuple[ItemTable, int, tuple[Arrived, ...]] | None = None
        self._made: dict[str, tuple[Finder, tuple[Arrived, ...], Stock]] = {}

    def of(self, version: str, finder: Finder, table: ItemTable | None) -> Stock:
        """The stock of now; without a table nothing has come."""
        came = self._arrived(table) if table is not None else ()
        held = self._made.get(version)
        if held is not None and held[0] is finder and held[1] is came:
            return held[2]
        stock = Stock.of(finder, came)
        newest = list(self._made.items())[-2:]  # Champion, challenger and this one.
        self._made = {**dict(newest), version: (finder, came, stock)}
        return stock

    def _arrived(self, table: ItemTable) -> tuple[Arrived, ...]:
        held = self._came
        if held is None or held[0] is not table or held[1] != table.changes:
            self._came = held = (table, table.changes, arrived(table))
        return held[2]


def arrived(table: ItemTable) -> tuple[Arrived, ...]:
    """The newest items of a table, newest first."""
    states = zip(table.arrivals, table.states(table.arrivals), strict=True)
    return tuple(Arrived(name, state.category, state.price_cents) for name, state in states)
