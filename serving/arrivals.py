"""Items that came after the bundles were made: looked for in Redis, stocked beside a bundle."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from nearline.transforms.chains import ChainedColumn, Column
from nearline.transforms.sources import Sources
from nearline.transforms.taste import ARRIVALS_AT_MOST, Arrivals, units_of
from serving.features import Features
from serving.finder import Finder

# Axes: S rows asked about, N arrivals, D dimensions.
FloatSD = npt.NDArray[np.float32]

_ROWS_AT_ONCE = 200
_LOOKS_BETWEEN = 10  # After so many looks, rows that lacked a category are read again.


@dataclass(frozen=True, slots=True)
class Arrived:
    """An item that some bundle may not know; category "" and price 0 where not stated yet."""

    item_id: str
    category: str
    price_cents: int


class Newcomers:
    """The newest items of the shop, less those that the bundle knows.

    One look costs one read of 2,000 ids at most, and one of each row that is new.
    """

    def __init__(self, features: Features, known: Callable[[], Collection[str] | None]) -> None:
        self._features, self._known = features, known
        self._read: dict[str, Arrived] = {}
        self._looks = 0
        self.items: tuple[Arrived, ...] = ()  # Newest first; replaced as a whole.

    async def look(self) -> None:
        """Look once; raises StoreUnavailable, and then what was seen before stays."""
        known = self._known()
        if known is None:  # No bundle: nobody searches.
            return
        ids = await self._features.arrivals(ARRIVALS_AT_MOST)
        wanted = [item_id for item_id in ids if item_id not in known]
        self._looks += 1
        again = self._looks % _LOOKS_BETWEEN == 0
        missing = [item_id for item_id in wanted if self._lacks(item_id, again)]
        for start in range(0, len(missing), _ROWS_AT_ONCE):
            part = missing[start : start + _ROWS_AT_ONCE]
            for item_id, reading in zip(part, await self._features.items(part), strict=True):
                state = reading.state
                if state.first_seen_us:  # Else its row is not written yet.
                    self._read[item_id] = Arrived(item_id, state.category, state.price_cents)
        self._read = {name: self._read[name] for name in wanted if name in self._read}
        items = tuple(self._read.values())
        if items != self.items:
            self.items = items

    def _lacks(self, item_id: str, again: bool) -> bool:
        held = self._read.get(item_id)
        return held is None or (again and not (held.category and held.price_cents))


@dataclass(frozen=True, slots=True)
class Stock:
    """A bundle's items with those that came after it, whose rows follow; never changed."""

    finder: Finder
    sources: Sources
    prices_cents: Column[int]

    @classmethod
    def of(cls, finder: Finder, came: Sequence[Arrived]) -> Stock:
        """`came` may hold items that the bundle knows: they are passed over.

        Costs as much as `came` is long, however large the bundle is: requests wait meanwhile.
        """
        known, first = finder.catalogue, len(finder.catalogue.item_ids)
        new = [one for one in came if one.item_id not in known.index_of]
        if not new:
            return cls(finder, finder.sources, finder.prices_cents)
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
        return cls(finder, sources, ChainedColumn(finder.prices_cents, prices))

    def units(self, rows: Sequence[int]) -> FloatSD:
        """The items' vectors, each of length 1 (or 0), arrivals' by content."""
        rows_S, first = np.asarray(rows), len(self.finder.unit_vectors)
        new = rows_S >= first
        vectors: FloatSD = self.finder.unit_vectors[np.where(new, 0, rows_S)]
        if new.any():
            vectors[new] = self.sources.arrivals.units_ND[rows_S[new] - first]
        return vectors


class Stocks:
    """The stock of each resident bundle, made anew when the newcomers changed."""

    def __init__(self) -> None:
        self._made: dict[str, tuple[Finder, tuple[Arrived, ...], Stock]] = {}

    def of(self, version: str, finder: Finder, came: tuple[Arrived, ...]) -> Stock:
        held = self._made.get(version)
        if held is not None and held[0] is finder and held[1] is came:
            return held[2]
        stock = Stock.of(finder, came)
        newest = list(self._made.items())[-2:]  # Champion, challenger and this one.
        self._made = {**dict(newest), version: (finder, came, stock)}
        return stock
