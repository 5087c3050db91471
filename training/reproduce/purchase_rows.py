"""Sources for the next purchase at RetailRocket, and their scores side by side for a ranker.

What tells most there is which items others looked at within the same ten minutes, read from
what the customer bought. Each source scores all items for a customer; the best of each compete.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from nearline.contracts.event import Kind
from nearline.transforms.buckets import DAY_US, HOUR_US, MINUTE_US
from training.datasets import Interactions
from training.ranking_rows import Rows
from training.reproduce.purchase_log import CUSTOMERS, ITEMS, HeldOut

# Axes: Q questions (one customer each), C customers, I items, K candidates, F features.
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

GAP = 60  # Places that two events of a customer may stand apart and still speak for each other.
FADE = 0.95  # Per event that came after.
NEAR_US = 3 * DAY_US
FROM_EACH, FROM_POPULAR = 80, 40

SOURCES = (  # Each names candidates; the three below only score them.
    "looked_beside",
    "looked_beside_bought",
    "met_beside",
    "met_together",
    "carted_beside",
    "alike",
)
_ALSO_SCORED = ("looked_share_bought", "looked_cosine", "bought_by_alike")
_ITEM = ("lately", "views", "carts", "purchases", "conversion")
_CUSTOMER = ("customer_views", "customer_carts", "customer_purchases")
NAMES: tuple[str, ...] = (
    *(f"{name}_score" for name in (*SOURCES, *_ALSO_SCORED)),
    *(f"{name}_place" for name in SOURCES),
    *_ITEM,
    *_CUSTOMER,
)
UP = {
    f"{name}_score": (1, "a source's own order is no reason against an item")
    for name in (*SOURCES, *_ALSO_SCORED)
}


@dataclass(frozen=True)
class Asked:
    """Candidate items of each question with their features; candidates in rising item rows."""

    candidates: list[Ints]  # (K,) for each question
    features: list[npt.NDArray[np.float32]]  # (K, F)
    target_Q: Ints

    def lessons(self, negatives: int, seed: int) -> Rows:
        """Rows of the questions whose target competes, with some of the other candidates."""
        draw = np.random.default_rng(seed)
        features, gains = [np.zeros((0, len(NAMES)), np.float32)], [np.zeros(0, np.int64)]
        for items, values, target in zip(
            self.candidates, self.features, self.target_Q, strict=True
        ):
            hit = items == target
            if hit.any():
                others = np.flatnonzero(~hit)
                drawn = draw.choice(others, min(negatives, len(others)), replace=False)
                kept = np.append(drawn, np.flatnonzero(hit))
                features.append(values[kept])
                gains.append(hit[kept].astype(np.int64))
        sizes = [len(part) for part in gains[1:]]
        return Rows(
            np.concatenate(features), np.concatenate(gains), np.repeat(np.arange(len(sizes)), sizes)
        )

    def places(
        self,
        score: Callable[[npt.NDArray[np.float32]], npt.NDArray[np.floating]],
        barred: list[Ints] | None = None,
    ) -> Ints:
        """(Q,): the target's place (from 1) by a score of the features; the last place if missed.

        `barred` items of each question do not compete. Ties count half against the target.
        """
        found = np.full(len(self.candidates), ITEMS, np.int64)
        for number, (items, values) in enumerate(zip(self.candidates, self.features, strict=True)):
            own = items == self.target_Q[number]
            if own.any():
                scores = np.asarray(score(values), np.float64)
                if barred is not None:
                    scores = np.where(np.isin(items, barred[number]) & ~own, -np.inf, scores)
                better, tied = (scores > scores[own][0]).sum(), (scores == scores[own][0]).sum()
                found[number] = 1 + better + tied // 2
        return found


def ask(held: HeldOut) -> Asked:
    """Candidates and features of every question, from the log without its target."""
    log, asked = held.log, held.customer_Q
    scores = _scores(log, asked)
    bought = _matrix(log.customer, log.item, log.kind == Kind.PURCHASE)[asked].tocsr()
    counts_KI = np.stack(
        [np.bincount(log.item[log.kind == kind], minlength=ITEMS) for kind in _LOOKED]
    )
    acts_KC = np.stack(
        [np.bincount(log.customer[log.kind == kind], minlength=CUSTOMERS) for kind in _LOOKED]
    )
    popular = np.argsort(-counts_KI.sum(axis=0), kind="stable")[:FROM_POPULAR]
    by_time = np.argsort(log.occurred_at_us, kind="stable")
    times, items = log.occurred_at_us[by_time], log.item[by_time]
    ends = np.zeros(CUSTOMERS, np.int64)
    np.maximum.at(ends, log.customer, log.occurred_at_us)
    candidates, features = [], []
    for row, customer in enumerate(asked.tolist()):
        first, last = np.searchsorted(times, [ends[customer] - NEAR_US, ends[customer] + NEAR_US])
        lately_I = np.bincount(items[first:last], minlength=ITEMS)
        dense = {name: np.asarray(matrix[row].todense()).ravel() for name, matrix in scores.items()}
        owned = bought[row].indices
        named = [popular, np.argsort(-lately_I, kind="stable")[:FROM_POPULAR]]
        places = {}
        for name in SOURCES:
            order = _order(dense[name], owned)
            places[name] = np.full(ITEMS, np.nan)
            places[name][order] = np.arange(1, len(order) + 1)
            named.append(order[:FROM_EACH])
        chosen = np.setdiff1d(np.concatenate(named), owned)
        views, carts, purchases = (counts_KI[kind][chosen] for kind in range(3))
        candidates.append(chosen)
        columns = [
            *(values[chosen] for values in dense.values()),
            *(places[name][chosen] for name in SOURCES),
            lately_I[chosen],
            views,
            carts,
            purchases,
            purchases / (views + 3.0),
            *(np.full(len(chosen), acts_KC[kind][customer]) for kind in range(3)),
        ]
        features.append(np.stack(columns, axis=1).astype(np.float32))
    return Asked(candidates, features, held.target_Q)


_LOOKED = (Kind.VIEW, Kind.CART, Kind.PURCHASE)


def _scores(log: Interactions, asked: Ints) -> dict[str, Any]:
    """(Q, I) sparse scores of each source, then of those that only score."""
    met = _history(log, (1, 1, 1))[asked]
    bought = _history(log, (0, 0, 1))[asked]
    looked = _beside(log, 10 * MINUTE_US, (1, 0, 0))
    met_QI, bought_QI = _alike(log, asked)
    together = _beside(log, 10_000 * DAY_US, (1, 1, 1))
    return {
        "looked_beside": (met @ looked).tocsr(),
        "looked_beside_bought": (bought @ looked).tocsr(),
        "met_beside": (met @ _beside(log, HOUR_US // 2, (1, 1, 1))).tocsr(),
        "met_together": (met @ _damped(together)).tocsr(),
        "carted_beside": (met @ _beside(log, DAY_US, (0, 1, 2))).tocsr(),
        "alike": met_QI,
        "looked_share_bought": (bought @ _shares(looked)).tocsr(),
        "looked_cosine": (met @ _damped(looked)).tocsr(),
        "bought_by_alike": bought_QI,
    }


def _beside(log: Interactions, within_us: int, weights: tuple[float, float, float]) -> Any:
    """(I, I) symmetric: how often two items were met by one customer within a time.

    A pair weighs the product of its kinds' weights (view, cart, purchase) over the root of the
    places between.
    """
    weight = np.array([0.0, *weights])[log.kind]
    left, right, values = [], [], []
    for gap in range(1, GAP + 1):
        near = (
            (log.customer[gap:] == log.customer[:-gap])
            & (log.occurred_at_us[gap:] - log.occurred_at_us[:-gap] <= within_us)
            & (log.item[gap:] != log.item[:-gap])
        )
        left.append(log.item[:-gap][near])
        right.append(log.item[gap:][near])
        values.append((weight[gap:] * weight[:-gap])[near] / np.sqrt(gap))
    one = sparse.csr_matrix(
        (np.concatenate(values), (np.concatenate(left), np.concatenate(right))),
        shape=(ITEMS, ITEMS),
    )
    both = one + one.T
    both.eliminate_zeros()
    return both


def _history(log: Interactions, weights: tuple[float, float, float]) -> Any:
    """(C, I): what each customer met, by the weight of its kind, fading event by event."""
    age = np.zeros(len(log), np.int64)
    for _, start, end in log.ranges():
        age[start:end] = np.arange(end - start - 1, -1, -1)
    values = np.array([0.0, *weights])[log.kind] * FADE**age
    return sparse.csr_matrix((values, (log.customer, log.item)), shape=(CUSTOMERS, ITEMS))


def _alike(log: Interactions, asked: Ints) -> tuple[Any, Any]:
    """(Q, I) twice: what customers alike met, and what they bought.

    Alike by the rarity of the items that both met (log of customers over those who met one).
    """
    met = _matrix(log.customer, log.item, np.ones(len(log), bool))
    per_customer = np.asarray(met.sum(axis=1)).ravel() + 1.0
    per_item = np.asarray(met.sum(axis=0)).ravel() + 1.0
    scaled = sparse.diags(per_customer**-0.5) @ met
    rare = scaled @ sparse.diags(np.log(1.0 + CUSTOMERS / per_item))
    alike = (rare[asked] @ rare.T).tolil()
    alike[np.arange(len(asked)), asked] = 0.0
    alike = alike.tocsr()
    bought = _matrix(log.customer, log.item, log.kind == Kind.PURCHASE)
    return (alike @ scaled).tocsr(), (alike @ bought).tocsr()


def _matrix(customer: Ints, item: Ints, where: npt.NDArray[np.bool_]) -> Any:
    ones = np.ones(int(where.sum()))
    found = sparse.csr_matrix((ones, (customer[where], item[where])), shape=(CUSTOMERS, ITEMS))
    found.data[:] = 1.0
    return found


def _damped(pairs: Any) -> Any:
    return (pairs @ sparse.diags((np.asarray(pairs.sum(axis=0)).ravel() + 5.0) ** -0.5)).tocsr()


def _shares(pairs: Any) -> Any:
    return (sparse.diags(1.0 / (np.asarray(pairs.sum(axis=1)).ravel() + 2.0)) @ pairs).tocsr()


def _order(scores_I: Floats, owned: Ints) -> Ints:
    """Items with a score that are not owned, best first, ties by item row."""
    free = scores_I.copy()
    free[owned] = 0.0
    named = np.flatnonzero(free > 0)
    return np.asarray(named[np.argsort(-free[named], kind="stable")], np.int64)
