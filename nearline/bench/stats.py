"""Percentiles and ratios of measured times; pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Summary:
    """What is told of a set of samples; all in the samples' unit."""

    n: int
    p50: float
    p99: float
    largest: float
    mean: float


def percentile(samples: Sequence[float], share: float) -> float:
    """The smallest sample that at least `share` (in (0, 1]) of the samples do not exceed.

    The nearest-rank definition: always a value that was measured, never an interpolated one.
    Raises ValueError for no samples or a share outside (0, 1].
    """
    if not samples:
        raise ValueError("a percentile needs at least one sample")
    if not 0.0 < share <= 1.0:
        raise ValueError(f"a share lies in (0, 1], {share} does not")
    # Rounded first, since 0.99 x 100 is 99.00000000000001 in floating point.
    rank = math.ceil(round(share * len(samples), 9))
    return sorted(samples)[rank - 1]


def summarise(samples: Sequence[float]) -> Summary:
    """The summary of at least one sample."""
    return Summary(
        n=len(samples),
        p50=percentile(samples, 0.50),
        p99=percentile(samples, 0.99),
        largest=max(samples),
        mean=math.fsum(samples) / len(samples),
    )


def ratio(value: float, floor: float) -> float | None:
    """How many times the floor a value is; None where the floor is not positive."""
    return value / floor if floor > 0 else None
