"""What most customers meet: over all time, or lately."""

from __future__ import annotations

import numpy as np

from nearline.contracts.event import Kind
from nearline.transforms.buckets import DAY_US
from nearline.transforms.customer import KIND_WEIGHT
from training.baselines.scorer import Scorer, Scores
from training.datasets import Interactions

# Axes: Q questions, I items.


def popularity(interactions: Interactions, items: int) -> Scorer:
    """How often each item was met in all the interactions given."""
    counts_I = np.bincount(interactions.item, minlength=items).astype(np.float32)
    return lambda questions: np.tile(counts_I, (len(questions), 1))


def recent_popularity(interactions: Interactions, items: int, days: float) -> Scorer:
    """How often each item was met in the days before the day of the question.

    Give it all interactions: each question sees only those known before its own day (UTC), so
    this list is fresher than any model learnt once.
    """
    by_day: dict[int, Scores] = {}

    def counts_of(day: int) -> Scores:
        if day not in by_day:
            end_us = day * DAY_US
            at_us = interactions.occurred_at_us
            inside = (at_us >= end_us - days * DAY_US) & (interactions.known_at_us < end_us)
            by_day[day] = np.bincount(interactions.item[inside], minlength=items).astype(np.float32)
        return by_day[day]

    return lambda questions: np.stack(
        [counts_of(int(at) // DAY_US) for at in questions.asked_at_us]
    )


def popular_items(interactions: Interactions, until_us: int, days: float, limit: int) -> list[int]:
    """Item rows by weighted interactions in the days up to an instant, most first.

    Weights are those of `KIND_WEIGHT` (view 1, favourite 2, cart 3, purchase 5). Ties, and
    places left when the days were quiet, go by all-time weight and then by row: the list
    holds every item met at all, up to `limit`.
    """
    past = interactions.until(until_us)
    weights = np.array([0.0, *(KIND_WEIGHT[kind] for kind in sorted(Kind))])[past.kind]
    items = int(past.item.max()) + 1 if len(past) else 0
    lately = past.occurred_at_us > until_us - days * DAY_US
    recent_I = np.bincount(past.item, weights=weights * lately, minlength=items)
    ever_I = np.bincount(past.item, weights=weights, minlength=items)
    order = np.lexsort((np.arange(items), -ever_I, -recent_I))
    return [int(item) for item in order[:limit] if ever_I[item] > 0]
