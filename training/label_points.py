"""Moments at which somebody could have been shown a list, and what that list should have held.

Half of the moments lie just after an interaction, as when a page asks for the next list;
the others just before the first of a session, as when a customer comes back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nearline.contracts.event import Kind
from nearline.transforms.buckets import HOUR_US
from nearline.transforms.customer import SESSION_GAP_US
from training.datasets import Interactions

# Gains of what was met, highest kind first come first served: view < cart < purchase.
GAIN_OF_KIND = {Kind.VIEW: 1, Kind.FAVOURITE: 2, Kind.CART: 2, Kind.PURCHASE: 3}


@dataclass(frozen=True, slots=True)
class Point:
    """One customer at one instant. `gains` maps the items met in the window after it to 1..3.

    What is known of the customer is what became known at `as_of_us` or before; every
    interaction behind `gains` occurred after it.
    """

    customer: int
    as_of_us: int
    gains: Mapping[int, int]


def points(
    interactions: Interactions,
    after_us: int,
    until_us: int,
    *,
    hours: float,
    per_customer: int,
    limit: int,
    seed: int,
    only: Kind | None = None,
) -> list[Point]:
    """At most `limit` points in (after_us, until_us] whose window has ended by then, by time.

    Moments without anything met in the window are no points: nothing can be learnt there. With
    `only`, nothing but interactions of that kind counts as met.
    """
    window_us = int(hours * HOUR_US)
    generator = np.random.default_rng(seed)
    found: list[Point] = []
    for customer, start, end in interactions.ranges():
        occurred = interactions.occurred_at_us[start:end]
        moments = _moments(occurred, interactions.known_at_us[start:end])
        moments = moments[(moments > after_us) & (moments <= until_us - window_us)]
        generator.shuffle(moments)
        taken = 0
        for moment in moments:
            if taken == per_customer:
                break
            first = int(np.searchsorted(occurred, moment, side="right"))
            last = int(np.searchsorted(occurred, moment + window_us, side="right"))
            met = np.arange(start + first, start + last)
            if only is not None:
                met = met[interactions.kind[met] == only]
            if len(met):
                gains = gains_of(interactions.item[met], interactions.kind[met])
                found.append(Point(customer, int(moment), gains))
                taken += 1
    if len(found) > limit:
        picks = generator.choice(len(found), limit, replace=False)
        found = [found[pick] for pick in picks]
    return sorted(found, key=lambda point: (point.as_of_us, point.customer))


def gains_of(items: npt.NDArray[np.int64], kinds: npt.NDArray[np.int64]) -> dict[int, int]:
    """The highest gain of each item among its interactions."""
    gains: dict[int, int] = {}
    for item, kind in zip(items.tolist(), kinds.tolist(), strict=True):
        gains[item] = max(gains.get(item, 0), GAIN_OF_KIND[Kind(kind)])
    return gains


def _moments(
    occurred: npt.NDArray[np.int64], known: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """As many moments before a session as after an interaction, where there are so many."""
    gaps = np.diff(occurred, prepend=occurred[0] - SESSION_GAP_US - 1)
    arriving = occurred[gaps > SESSION_GAP_US] - 1
    every = max(1, len(known) // max(len(arriving), 1))
    return np.unique(np.concatenate([arriving, known[::every]]))
