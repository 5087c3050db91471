"""Association rules: what lies in one basket together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil

import numpy as np
from scipy import sparse

from nearline.contracts.event import Kind
from nearline.transforms.buckets import DAY_US
from training.baselines.scorer import Scorer, answers
from training.datasets import Interactions

# Axes: Q questions, B baskets, I items.


@dataclass(frozen=True, slots=True)
class Rule:
    """Baskets with all of `given` also hold `then`. Counts are baskets."""

    given: tuple[str, ...]
    then: str
    together: int  # with given and then
    given_count: int
    then_count: int
    baskets: int

    @property
    def support(self) -> float:
        return self.together / self.baskets

    @property
    def confidence(self) -> float:
        return self.together / self.given_count

    @property
    def lift(self) -> float:
        """How much more often than if both were independent."""
        return self.together * self.baskets / (self.given_count * self.then_count)


def rules(baskets: Sequence[Sequence[str]], support: str, confidence: str) -> list[Rule]:
    """Every rule with one consequent at or above both bounds, highest lift first.

    Bounds are decimals such as "0.001", and counts are compared as whole numbers: as floats,
    rules that meet a bound exactly are lost (Agrawal, Imielinski and Swami 1993; item sets by
    library `efficient-apriori`). An antecedent holds at least one item.
    """
    from efficient_apriori import itemsets_from_transactions

    if not baskets:
        return []
    fewest = max(1, ceil(Fraction(support) * len(baskets)))
    # Half a basket below the bound: its comparison of floats cannot go wrong there.
    below = (fewest - 0.5) / len(baskets)
    largest = max(1, *map(len, baskets))  # Its own limit of 8 items would lose longer rules.
    by_size, count = itemsets_from_transactions(list(baskets), below, max_length=largest)
    sizes: dict[frozenset[str], int] = {
        frozenset(found): together for sets in by_size.values() for found, together in sets.items()
    }
    bound = Fraction(confidence)
    found: list[Rule] = []
    for items, together in sizes.items():
        if len(items) < 2:
            continue
        for then in items:
            given = items - {then}
            if together >= bound * sizes[given]:
                counts = (together, sizes[given], sizes[frozenset([then])], count)
                found.append(Rule(tuple(sorted(given)), then, *counts))
    return sorted(found, key=lambda rule: (-rule.lift, rule.given, rule.then))


def association(interactions: Interactions, items: int, decay: float = 0.8) -> Scorer | None:
    """Items that others put in one basket with what the customer has met; None without baskets.

    A basket is what one customer put in the cart or bought on one day (UTC). Each item of the
    history speaks for others by confidence, together / given, and by `decay` to the power of
    its places back; pairs seen in a single basket say nothing.
    """
    chosen = np.isin(interactions.kind, (Kind.CART, Kind.PURCHASE))
    days = interactions.occurred_at_us[chosen] // DAY_US
    lines = np.stack([interactions.customer[chosen], days], axis=1)
    _, basket = np.unique(lines, axis=0, return_inverse=True)
    held_BI = sparse.csr_matrix(
        (np.ones(len(days), np.int64), (basket.ravel(), interactions.item[chosen])),
        shape=(int(basket.max()) + 1 if len(days) else 0, items),
    )
    held_BI.sum_duplicates()
    held_BI.data[:] = 1
    both_II = (held_BI.T @ held_BI).tocoo()
    kept = (both_II.row != both_II.col) & (both_II.data > 1)
    if not kept.any():
        return None
    given_I = np.asarray(held_BI.sum(axis=0)).ravel()
    given, then = both_II.row[kept], both_II.col[kept]
    confidence_II = sparse.csr_matrix(
        ((both_II.data[kept] / given_I[given]).astype(np.float32), (given, then)),
        shape=(items, items),
    )

    return answers(confidence_II, items, decay)
