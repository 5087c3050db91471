"""Diversity: maximal marginal relevance (Carbonell & Goldstein 1998). Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

# Axes: P places of the pool, D dimensions of an item's vector.
Vectors = Callable[[Sequence[int]], npt.NDArray[np.float32]]
"""Unit vectors (P, D) of places in the ranked sequence; a row of zeros where unknown."""


def diversified(order: Sequence[int], strength: float, pool: int, vectors_of: Vectors) -> list[int]:
    """The first `pool` of an order, chosen again one by one; the rest as it was.

    Each time the greatest (1 - strength) relevance - strength likeness is next, where relevance
    falls evenly with the rank from 1 to 1 / P, and likeness is the largest cosine with what is
    chosen already. The first stays first. Strength 0 is the given order exactly.
    """
    head, tail = list(order[:pool]), list(order[pool:])
    size = len(head)
    if strength == 0.0 or size < 3:
        return head + tail
    unit_PD = np.asarray(vectors_of(head), dtype=np.float64)
    alike_PP = strength * (unit_PD @ unit_PD.T)
    relevance_P = (1.0 - strength) * (1.0 - np.arange(size) / size)
    likeness_P = alike_PP[0].copy()
    relevance_P[0] = -np.inf  # chosen
    chosen = [0]
    for _ in range(size - 1):
        best = int(np.argmax(relevance_P - likeness_P))  # of equal ones the first
        chosen.append(best)
        relevance_P[best] = -np.inf
        np.maximum(likeness_P, alike_PP[best], out=likeness_P)
    return [head[place] for place in chosen] + tail
