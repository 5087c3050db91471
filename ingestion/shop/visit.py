"""One visit to the shop: a customer looks around, and what the taste decides.

The same code shops in the written history and live; live, the shop may offer a list.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ingestion.shop.world import Floats, Ints, World
from nearline.contracts.event import Kind
from nearline.transforms.buckets import DAY_US

_SECOND_US = 1_000_000
_LONGEST_WAIT_US = 20 * 60 * _SECOND_US  # A visit stays one session: gaps below 30 minutes.
_NOVELTY_US = 7 * DAY_US


@dataclass(slots=True)
class Mind:
    """What a customer carries from one visit to the next. Items are rows."""

    cart: list[int] = field(default_factory=list)
    seen: deque[int] = field(default_factory=lambda: deque(maxlen=20))
    purchased: set[int] = field(default_factory=set)
    category: int = -1  # of the last visit; people come back to what they were after


@dataclass(frozen=True, slots=True)
class Act:
    """One thing done, so long after the one before. Only purchases hold several items."""

    kind: Kind
    items: tuple[int, ...]
    quantities: tuple[int, ...]
    wait_us: int


class Visit:
    """A visit in progress: call `look` until `looks_left` is 0, then `leave`.

    `vigor` in (0, 1] is how keen the customer still is; someone who drifts away looks at
    less and takes less. `category_weight_K` are log weights of the season.
    """

    def __init__(
        self,
        world: World,
        customer: int,
        mind: Mind,
        rng: np.random.Generator,
        *,
        at_us: int,
        vigor: float,
        category_weight_K: Floats,
    ) -> None:
        self._world, self._mind, self._rng, self._vigor = world, mind, rng, vigor
        items = world.items
        self._liking_I = world.utility_I(customer)
        age_I = at_us - items.arrived_at_us_I
        self._open_I = age_I >= 0
        if mind.purchased:
            self._open_I[list(mind.purchased)] = False
        # What one comes across: liked, well known, and what is new stands in the window.
        self._draw_I = self._liking_I + items.popularity_I + 0.6 * (age_I < _NOVELTY_US)
        self._draw_I[~self._open_I] = -np.inf
        taste_K = world.customers.taste_CK[customer] + category_weight_K
        back = mind.category >= 0 and rng.random() < 0.2
        self._category = mind.category if back else _choose(rng, taste_K)
        mind.category = self._category
        self.looks_left = 1 + int(rng.geometric(1.0 / (1.0 + 3.4 * vigor)))
        self._current: int | None = None
        self._took = False
        self.looked = 0
        self.took_offer = False  # whether the last look was at an item of the list shown
        self.carts = 0
        self.favourites = 0
        self.purchases = 0

    def look(self, offered: Sequence[int] = ()) -> list[Act]:
        """Look at one more item, perhaps one of those offered; returns what was done."""
        self.looks_left -= 1
        self.looked += 1
        chosen = self._from_offer(offered)
        self.took_offer = chosen is not None
        item = self._next_item() if chosen is None else chosen
        if item is None:
            self.looks_left = 0
            return []
        rng, mind = self._rng, self._mind
        acts = [self._act(Kind.VIEW, item, median_s=35.0)]
        appeal = self._appeal(item) + (0.5 if item in mind.seen else 0.0)
        self._took = False
        if rng.random() < 0.025 * np.exp(0.4 * appeal):
            acts.append(self._act(Kind.FAVOURITE, item, median_s=6.0))
            self.favourites += 1
        if item not in mind.cart and rng.random() < self._vigor / (1 + np.exp(3.4 - appeal)):
            acts.append(self._act(Kind.CART, item, median_s=12.0))
            mind.cart.append(item)
            self.carts += 1
            self._took = True
        mind.seen.append(item)
        self._current = item
        return acts

    def leave(self) -> list[Act]:
        """End the visit; perhaps pay what lies in the cart first."""
        rng, mind = self._rng, self._mind
        del mind.cart[:-4]  # Old things are forgotten.
        if not mind.cart or rng.random() > 0.1 + 0.25 * self._vigor:
            return []
        paid = tuple(item for item in mind.cart if rng.random() < 0.5)
        if not paid:
            return []
        mind.cart = [item for item in mind.cart if item not in paid]
        mind.purchased.update(paid)
        self.purchases += len(paid)
        quantities = tuple(2 if rng.random() < 0.08 else 1 for _ in paid)
        return [Act(Kind.PURCHASE, paid, quantities, self._wait(60.0))]

    @property
    def luck(self) -> float:
        """How well the visit went, 0 to 1: what satisfaction is made of."""
        if self.purchases or self.carts:
            return 1.0
        return 0.4 if self.favourites else 0.0

    def _next_item(self) -> int | None:
        rng, items, current = self._rng, self._world.items, self._current
        roll = rng.random()
        if current is None or roll < 0.1:
            again = [item for item in self._mind.seen if self._open_I[item]]
            if again and roll < 0.1 + 0.1 * (current is None):
                return again[int(rng.integers(len(again)))]
        elif self._took and roll < 0.65:
            # An accessory after the thing it belongs to: a short detour to another shelf.
            found = self._pick(items.companions_IB[current])
            if found is not None:
                return found
        elif roll < (0.6 if items.category_I[current] == self._category else 0.3):
            found = self._pick(items.neighbours_IN[current])
            if found is not None:
                return found
        return self._pick(items.shelves[self._category])

    def _pick(self, rows: Ints) -> int | None:
        draw = self._draw_I[rows]
        best = draw.max()
        if best == -np.inf:
            return None
        return int(rows[_choose(self._rng, draw - best)])

    def _from_offer(self, offered: Sequence[int]) -> int | None:
        """The first offered item that is noticed and liked; lower places are seen less."""
        category_I = self._world.items.category_I
        for rank, item in enumerate(offered, start=1):
            if not self._open_I[item] or self._rng.random() > 1.0 / rank**0.7:
                continue
            same = category_I[item] == self._category
            if self._rng.random() < 0.5 / (
                1.0 + np.exp((1.0 if same else 2.5) - self._appeal(item))
            ):
                return item
        return None

    def _appeal(self, item: int) -> float:
        return float(self._liking_I[item]) / 1.5

    def _act(self, kind: Kind, item: int, *, median_s: float) -> Act:
        return Act(kind, (item,), (1,), self._wait(median_s))

    def _wait(self, median_s: float) -> int:
        wait_us = median_s * _SECOND_US * float(np.exp(self._rng.normal(0.0, 0.9)))
        return min(_LONGEST_WAIT_US, 1 + int(wait_us))


def _choose(rng: np.random.Generator, log_weights: Floats) -> int:
    """A place drawn with the given log weights, the largest of which is near 0."""
    sums = np.exp(log_weights).cumsum()
    return min(int(np.searchsorted(sums, rng.random() * sums[-1], "right")), len(sums) - 1)
