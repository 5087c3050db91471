"""Simple retrievers that the encoder must beat, learnt from the same part of the history."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy import sparse

from nearline.contracts.event import Kind
from nearline.transforms.buckets import DAY_US
from nearline.transforms.customer import KIND_WEIGHT
from training.datasets import Interactions
from training.metrics import ranks_of_targets
from training.sequences import Questions, pairs_apart

# Axes: Q questions, I items, L places in the history (oldest first).
Scores = npt.NDArray[np.float32]
Scorer = Callable[[Questions], Scores]  # (Q, I): higher is better

_GAP, _DECAY = 5, 0.6


def ranks(questions: Questions, scorer: Scorer) -> npt.NDArray[np.int64]:
    """The place of each question's target among all items that its customer has not met."""
    found = [np.zeros(0, np.int64)]
    for part in questions.chunks(256):
        scores_QI = scorer(part)
        for row, seen in enumerate(part.seen):
            scores_QI[row, seen] = -np.inf
        found.append(ranks_of_targets(scores_QI, part.targets_W))
    return np.concatenate(found)


def knowing(scorer: Scorer, known_I: npt.NDArray[np.bool_]) -> Scorer:
    """What a bundle with only these items can answer: it reads and names no others."""

    def scores(questions: Questions) -> Scores:
        scores_QI = scorer(questions.knowing(known_I))
        scores_QI[:, ~known_I] = -np.inf
        return scores_QI

    return scores


def popularity(interactions: Interactions, items: int) -> Scorer:
    """How often each item was met in all the interactions given."""
    counts_I = np.bincount(interactions.item, minlength=items).astype(np.float32)
    return lambda questions: np.tile(counts_I, (len(questions), 1))


def recent_popularity(interactions: Interactions, items: int, days: float) -> Scorer:
    """How often each item was met in the days before the day of the question.

    Give it all interactions: each question sees only those before its own day (UTC), so
    this list is fresher than any model learnt once.
    """
    by_day: dict[int, Scores] = {}

    def counts_of(day: int) -> Scores:
        if day not in by_day:
            end_us = day * DAY_US
            at_us = interactions.occurred_at_us
            inside = (at_us >= end_us - days * DAY_US) & (at_us < end_us)
            by_day[day] = np.bincount(interactions.item[inside], minlength=items).astype(np.float32)
        return by_day[day]

    return lambda questions: np.stack(
        [counts_of(int(at) // DAY_US) for at in questions.asked_at_us]
    )


def sequential_rules(interactions: Interactions, items: int) -> Scorer:
    """What followed the customer's items for others: gap up to 5, weight 1 / gap.

    An item k places back in the history speaks with weight 0.6 to the power k (Ludewig and
    Jannach 2018, with decay).
    """
    pairs_from, pairs_to, weights = [], [], []
    for gap in range(1, _GAP + 1):
        earlier, later = pairs_apart(interactions, gap)
        pairs_from.append(earlier)
        pairs_to.append(later)
        weights.append(np.full(len(earlier), 1.0 / gap, np.float32))
    rules_II = sparse.csr_matrix(
        (np.concatenate(weights), (np.concatenate(pairs_from), np.concatenate(pairs_to))),
        shape=(items, items),
        dtype=np.float32,
    )

    def scores(questions: Questions) -> Scores:
        length = questions.items_WL.shape[1]
        decay_L = (_DECAY ** np.arange(length - 1, -1, -1)).astype(np.float32)
        rows, places = np.nonzero(questions.items_WL)
        history_QI = sparse.csr_matrix(
            (decay_L[places], (rows, questions.items_WL[rows, places] - 1)),
            shape=(len(questions), items),
        )
        return np.asarray((history_QI @ rules_II).todense(), dtype=np.float32)

    return scores


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
