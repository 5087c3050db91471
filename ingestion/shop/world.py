"""The shop before anything happens: its items, its customers and their hidden tastes.

Axes: C customers, I items, K categories, S dimensions of style, N neighbours, B companions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nearline.transforms.buckets import DAY_US

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

STYLE_DIMENSIONS = 6
NEIGHBOURS = 16
COMPANIONS = 5
CURRENCY = "USD"


@dataclass(frozen=True, slots=True)
class Category:
    """A shelf of the shop. Who takes something from it often looks at `goes_with` next."""

    name: str
    median_price_cents: int
    goes_with: str


CATEGORIES = (
    Category("phones", 45_000, "chargers"),
    Category("chargers", 2_000, "headphones"),
    Category("headphones", 8_000, "chargers"),
    Category("laptops", 90_000, "bags"),
    Category("bags", 6_000, "dresses"),
    Category("dresses", 5_500, "shoes"),
    Category("shoes", 7_000, "sportswear"),
    Category("sportswear", 4_000, "shoes"),
    Category("kitchen", 3_500, "coffee"),
    Category("coffee", 1_500, "kitchen"),
    Category("books", 1_800, "toys"),
    Category("toys", 2_500, "books"),
)
_ROW_OF = {category.name: row for row, category in enumerate(CATEGORIES)}
GOES_WITH_K: Ints = np.array([_ROW_OF[category.goes_with] for category in CATEGORIES])


@dataclass(frozen=True, slots=True, eq=False)
class Items:
    """What is for sale. Styles are unit vectors; popularity is a log weight (long tail)."""

    ids: list[str]
    category_I: Ints
    style_IS: Floats
    quality_I: Floats
    popularity_I: Floats
    price_cents_I: Ints
    arrived_at_us_I: Ints
    neighbours_IN: Ints  # alike in style, same category, nearest first
    companions_IB: Ints  # alike in style, in the category that goes with its own
    dearness_I: Floats  # log of the price over its category's median
    shelves: tuple[Ints, ...]  # the rows of each category's items

    @classmethod
    def of(
        cls,
        *,
        ids: list[str],
        category_I: Ints,
        style_IS: Floats,
        quality_I: Floats,
        popularity_I: Floats,
        price_cents_I: Ints,
        arrived_at_us_I: Ints,
    ) -> Items:
        """The items with their neighbours and companions, which follow from style alone."""
        medians_K = np.array([category.median_price_cents for category in CATEGORIES], float)
        return cls(
            ids,
            category_I,
            style_IS,
            quality_I,
            popularity_I,
            price_cents_I,
            arrived_at_us_I,
            neighbours_IN=_alike(style_IS, category_I, category_I, NEIGHBOURS),
            companions_IB=_alike(style_IS, category_I, GOES_WITH_K[category_I], COMPANIONS),
            dearness_I=np.log(price_cents_I / medians_K[category_I]),
            shelves=tuple(np.flatnonzero(category_I == row) for row in range(len(CATEGORIES))),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Customers:
    """Who shops, and what they like. `taste_CK` are log shares of interest in categories.

    `price_sense_C` is how much a dearer item loses (1: a doubled price costs 0.7 in utility);
    negative for those who like things dear.
    """

    ids: list[str]
    taste_CK: Floats
    style_CS: Floats
    price_sense_C: Floats
    visits_per_day_C: Floats
    arrived_at_us_C: Ints
    personalizes_C: Bools  # consents to personalization, not to analytics alone


@dataclass(frozen=True, slots=True, eq=False)
class World:
    """Items and customers, and how much each customer likes each item."""

    items: Items
    customers: Customers

    def utility_I(self, customer: int) -> Floats:
        """How much one customer likes each item within its category; about N(0, 1.5)."""
        items, people = self.items, self.customers
        liking_I: Floats = 3.0 * (items.style_IS @ people.style_CS[customer])
        liking_I += 0.4 * items.quality_I
        liking_I -= people.price_sense_C[customer] * items.dearness_I
        return liking_I


def build(
    rng: np.random.Generator, *, customers: int, items: int, start_us: int, until_us: int
) -> World:
    """Draw a shop whose history runs from `start_us` to `until_us`.

    Three quarters of the items and 60 % of the customers are there at the start; the others
    arrive over the period.
    """
    return World(
        _items(rng, items, start_us, until_us), _customers(rng, customers, start_us, until_us)
    )


def _items(rng: np.random.Generator, count: int, start_us: int, until_us: int) -> Items:
    category_I = np.arange(count) % len(CATEGORIES)
    style_IS = _unit(rng.normal(size=(count, STYLE_DIMENSIONS)))
    medians_K = np.array([category.median_price_cents for category in CATEGORIES], float)
    price_I = medians_K[category_I] * np.exp(rng.normal(0.0, 0.5, count))
    popularity_I = np.empty(count)
    for category in range(len(CATEGORIES)):
        rows = np.flatnonzero(category_I == category)
        popularity_I[rows] = -0.8 * np.log1p(rng.permutation(len(rows)))
    fresh_I = rng.random(count) < 0.25
    # Those of the beginning are announced one by one, a millisecond apart.
    arrived_I = np.where(
        fresh_I,
        rng.integers(start_us + DAY_US, max(until_us, start_us + DAY_US + 1), count),
        start_us + 1_000 * np.arange(count),
    )
    return Items.of(
        ids=[
            f"{CATEGORIES[k].name}-{row // len(CATEGORIES):04d}" for row, k in enumerate(category_I)
        ],
        category_I=category_I,
        style_IS=style_IS,
        quality_I=rng.normal(size=count),
        popularity_I=popularity_I,
        price_cents_I=np.maximum(100, (price_I / 10).round().astype(np.int64) * 10 - 1),
        arrived_at_us_I=arrived_I,
    )


def _customers(rng: np.random.Generator, count: int, start_us: int, until_us: int) -> Customers:
    taste_CK = np.log(rng.dirichlet(np.full(len(CATEGORIES), 0.16), count) + 0.003)
    rate_C = np.clip(0.3 * np.exp(rng.normal(0.0, 0.6, count)), 0.06, 1.5)
    newcomer_C = rng.random(count) < 0.4
    return Customers(
        ids=[f"c{row:05d}" for row in range(count)],
        taste_CK=taste_CK,
        style_CS=_unit(rng.normal(size=(count, STYLE_DIMENSIONS))),
        price_sense_C=rng.normal(0.5, 0.6, count),
        visits_per_day_C=rate_C,
        arrived_at_us_C=np.where(newcomer_C, rng.integers(start_us, until_us, count), start_us),
        personalizes_C=rng.random(count) >= 0.03,
    )


def _unit(vectors: Floats) -> Floats:
    unit: Floats = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


def _alike(style_IS: Floats, category_I: Ints, wanted_I: Ints, count: int) -> Ints:
    """For each item the rows of the `count` most alike others in its wanted category.

    Where a category is smaller, the nearest are repeated.
    """
    likeness_II = style_IS @ style_IS.T
    likeness_II[wanted_I[:, None] != category_I[None, :]] = -np.inf
    np.fill_diagonal(likeness_II, -np.inf)
    order = np.argsort(-likeness_II, axis=1, kind="stable")[:, :count]
    found = np.isfinite(np.take_along_axis(likeness_II, order, axis=1))
    return np.where(found, order, order[:, :1])
