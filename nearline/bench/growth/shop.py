"""A made-up shop of any size, whose items lie near those of their category; seeded, pure.

Nothing of it is learnt: what grows with a shop is how much there is, and that is what is
measured. Each item's vector is its category's centre plus noise, of length 1, so that
neighbours exist and an approximate index has something to find.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nearline.contracts.event import Event, Line
from nearline.transforms.content import ContentTable
from nearline.transforms.covisits import PAIRS, CovisitTable, Neighbours

# Axes: I items, D dimensions, K neighbours, M categories.
FloatID = npt.NDArray[np.float32]
IntI = npt.NDArray[np.int64]

DIMENSION, NEIGHBOURS, POPULAR = 64, 20, 200  # As the shipped recipes learn them.
NOW_US = 1_795_201_200_000_000  # 2026-11-20T19:00:00Z
DAY_US = 86_400_000_000
_SPREAD = 1.2  # Length of the noise where the centre's is 1: cosine to the centre about 0.64.
_HISTORY_MEAN, _HISTORY_MOST = 25, 150
_KINDS = (("view_item", 0.80), ("add_to_cart", 0.12), ("add_to_wishlist", 0.03), ("purchase", 0.05))
_DAYS = 30


@dataclass(frozen=True, slots=True)
class Shop:
    """Items by row. `order_I` holds the rows by category; category m begins at `first_M[m]`."""

    vectors_ID: FloatID
    category_I: IntI
    prices_cents_I: IntI
    order_I: IntI
    first_M: IntI

    def __len__(self) -> int:
        return len(self.category_I)

    @classmethod
    def of(cls, items: int, seed: int) -> Shop:
        """One category for each thousand items, 20 at least, of different sizes."""
        rng = np.random.default_rng(seed)
        categories = max(20, items // 1_000)
        shares = rng.gamma(2.0, size=categories)
        category_I = rng.choice(categories, size=items, p=shares / shares.sum()).astype(np.int64)
        category_I[:categories] = np.arange(categories)  # None is empty.
        centres_MD = _units(rng.standard_normal((categories, DIMENSION), dtype=np.float32))
        vectors_ID = rng.standard_normal((items, DIMENSION), dtype=np.float32)
        vectors_ID *= np.float32(_SPREAD / DIMENSION**0.5)
        vectors_ID += centres_MD[category_I]
        prices_I = np.exp(rng.normal(8.0, 1.0, items)).astype(np.int64) + 100
        order_I = np.argsort(category_I, kind="stable")
        first_M = np.searchsorted(category_I[order_I], np.arange(categories + 1))
        return cls(_units(vectors_ID), category_I, prices_I, order_I, first_M)

    def beside(self, rng: np.random.Generator, rows: IntI, count: int) -> npt.NDArray[np.int32]:
        """For each row, `count` items of its category, drawn with replacement."""
        first, end = self.first_M[self.category_I[rows]], self.first_M[self.category_I[rows] + 1]
        places = rng.random((len(rows), count)) * (end - first)[:, None]
        return self.order_I[first[:, None] + places.astype(np.int64)].astype(np.int32)

    def covisits(self, seed: int) -> CovisitTable:
        """Each item's companions are of its own category."""
        rng = np.random.default_rng(seed)
        tables = {}
        for pair in PAIRS:
            weights = np.sort(rng.random((len(self), NEIGHBOURS), dtype=np.float32), axis=1)
            found = self.beside(rng, np.arange(len(self)), NEIGHBOURS)
            tables[pair] = Neighbours(found, np.ascontiguousarray(weights[:, ::-1]))
        return CovisitTable(tables)

    def content(self, seed: int) -> ContentTable:
        """A vector for each category, its first item's, and ten price bands that whisper."""
        rng = np.random.default_rng(seed)
        edges = np.quantile(self.prices_cents_I, np.linspace(0.1, 0.9, 9)).astype(int).tolist()
        bands = 0.1 * rng.standard_normal((10, DIMENSION))
        firsts = self.vectors_ID[self.order_I[self.first_M[:-1]]]
        names = [category(number) for number in range(len(firsts))]
        return ContentTable(
            categories=dict(zip(names, firsts.tolist(), strict=True)),
            price_edges_cents=edges,
            prices=bands.tolist(),
        )

    def popular(self, seed: int) -> list[int]:
        """Rows that anybody may be shown."""
        rng = np.random.default_rng(seed)
        return [int(row) for row in rng.permutation(len(self))[: min(POPULAR, len(self))]]

    def events(self, customer_id: str, seed: int) -> Iterator[Event]:
        """One customer's month in one to three categories: 25 events on average, 150 at most."""
        rng = np.random.default_rng(seed)
        count = int(min(rng.geometric(1 / _HISTORY_MEAN), _HISTORY_MOST))
        liked = rng.integers(0, len(self), 1 + int(rng.integers(0, 3)))
        rows = self.beside(rng, rng.choice(liked, count), 1)[:, 0].tolist()
        names = rng.choice(len(_KINDS), count, p=[share for _, share in _KINDS]).tolist()
        ago_us = np.sort(rng.integers(0, _DAYS * DAY_US, count))[::-1].tolist()
        for number, (row, name, ago) in enumerate(zip(rows, names, ago_us, strict=True)):
            at_us = NOW_US - ago
            line = Line(
                item_id(row), 1, int(self.prices_cents_I[row]), category(self.category_I[row])
            )
            yield Event(
                event_id=f"growth-{seed}-{number}",
                type="track",
                name=_KINDS[name][0],
                customer_id=customer_id,
                occurred_at_us=at_us,
                known_at_us=at_us,
                source="bench",
                lines=(line,),
                consent=("analytics", "personalization"),
            )


def item_id(row: int) -> str:
    """The id of a row, as long as real shops have them."""
    return f"item-{row:08d}"


def category(number: int) -> str:
    """The name of a category."""
    return f"category-{number:04d}"


def customer_id(number: int) -> str:
    """The id of a customer."""
    return f"customer-{number:08d}"


def _units(vectors: FloatID) -> FloatID:
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors
