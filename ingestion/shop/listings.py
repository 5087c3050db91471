"""What the shop states of its items beside price and category, at first and when stock changes.

Drawn from streams of their own: whatever is stated, customers do the same. They do not notice
that an item has run out, for nobody tells them; what recommends to them is told.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ingestion.shop.world import CATEGORIES, Ints, Items
from nearline.contracts.event import StatedFacts
from nearline.transforms.buckets import DAY_US

OUT_OF_STOCK = 0.03  # Share of items that run out at some time, and live of those that are out.
_BANNED = 0.01
_RATING_HUNDREDTHS = 420  # Of an item of middling quality.
_FOR_ADULTS = {"kitchen": 0.06, "books": 0.04}  # Knives; shares of a category.
_ADULT_YEARS = 18
_USED_UP_DAYS = {"coffee": (14, 21, 28)}
_AWAY_DAYS = (1, 7)  # Shortest and longest time until new stock comes.
_CHANGES_PER_EVENT = 0.01  # Live, of whatever the rate is.
_PAST, _LIVE = 1, 2  # Which stream of a seed.


@dataclass(frozen=True, slots=True)
class Listing:
    """The shop announces an item, or lists it `again` with what has changed."""

    item: int
    facts: StatedFacts | None = None
    again: bool = False


@dataclass(frozen=True, slots=True)
class Listings:
    """All that a shop states over a period: with each item, and afterwards in time order."""

    facts_I: tuple[StatedFacts, ...]
    changes: tuple[tuple[int, Listing], ...]  # (instant in us, what is listed again)

    @classmethod
    def of(cls, seed: int, items: Items, until_us: int) -> Listings:
        """What is stated until an instant; equal seeds and items state the same."""
        rng = np.random.default_rng([seed, _PAST])
        count = len(items.ids)
        stock_I, new_stock_I = _stock(rng, count), _stock(rng, count)
        noise_I = rng.normal(0.0, 20.0, count)
        rating_I = np.clip(_RATING_HUNDREDTHS + 30.0 * items.quality_I + noise_I, 100, 500)
        banned_I = rng.random(count) < _BANNED
        age_draw_I, period_draw_I = rng.random(count), rng.integers(1 << 30, size=count)
        runs_out_I = rng.random(count) < OUT_OF_STOCK
        share_I = rng.random(count)  # Of the time that is left, when stock runs out.
        away_us_I = rng.integers(_AWAY_DAYS[0] * DAY_US, _AWAY_DAYS[1] * DAY_US, count)
        facts, changes = [], list[tuple[int, Listing]]()
        for row in range(count):
            name = CATEGORIES[items.category_I[row]].name
            periods = _USED_UP_DAYS.get(name)
            adult = age_draw_I[row] < _FOR_ADULTS.get(name, 0.0)
            facts.append(
                StatedFacts(
                    stock=int(stock_I[row]),
                    rating_hundredths=int(rating_I[row]),
                    banned=True if banned_I[row] else None,
                    min_age_years=_ADULT_YEARS if adult else None,
                    repurchase_days=periods[period_draw_I[row] % len(periods)] if periods else None,
                )
            )
            if runs_out_I[row]:
                arrived_us = int(items.arrived_at_us_I[row])
                out_us = arrived_us + 1 + int(share_I[row] * (until_us - arrived_us))
                back_us = out_us + int(away_us_I[row])
                changes.append((out_us, restocked(row, 0)))
                changes.append((back_us, restocked(row, int(new_stock_I[row]))))
        changes = [change for change in changes if change[0] < until_us]
        return cls(tuple(facts), tuple(sorted(changes, key=lambda one: (one[0], one[1].item))))

    def out_of_stock(self) -> set[int]:
        """Rows of the items that are out at the end of the period."""
        stock = {listing.item: listing.facts for _, listing in self.changes}
        return {row for row, facts in stock.items() if facts is not None and facts.stock == 0}


class Storeroom:
    """Stock that changes live, now and then: about 3 % of the items are out at any time."""

    def __init__(self, seed: int, items: int, out_of_stock: set[int]) -> None:
        self._rng = np.random.default_rng([seed, _LIVE])
        self._items, self._out = items, set(out_of_stock)

    def change(self) -> Listing | None:
        """An item that runs out or comes back, once in a hundred calls; mostly None."""
        rng = self._rng
        if rng.random() >= _CHANGES_PER_EVENT:
            return None
        if len(self._out) > rng.random() * 2 * OUT_OF_STOCK * self._items:
            back = sorted(self._out)[int(rng.integers(len(self._out)))]
            self._out.remove(back)
            return restocked(back, int(_stock(rng, 1)[0]))
        gone = int(rng.integers(self._items))
        self._out.add(gone)
        return restocked(gone, 0)


def restocked(row: int, stock: int) -> Listing:
    """The listing that says how many there are now, and nothing else that is new."""
    return Listing(row, StatedFacts(stock=stock), again=True)


def _stock(rng: np.random.Generator, count: int) -> Ints:
    units: Ints = np.maximum(3, np.exp(rng.normal(3.5, 0.8, count))).astype(np.int64)
    return units
