"""What lifetime models know of each customer: how often, how lately, how long."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nearline.transforms.lifetime import DAYS_A_WEEK, Summary

# Axes: N purchases, C customers.
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Buyers:
    """Who bought by a day: their rows, ascending, and their summary in weeks."""

    customer_C: Ints
    seen: Summary


def buyers_by(customer_N: Ints, day_N: Ints, until_day: int) -> Buyers:
    """Everybody who bought by the end of a day; purchases of one day are one, weeks = days / 7.

    `day_N` counts days from any origin. Empty where nobody did.
    """
    kept = day_N <= until_day
    pairs = np.unique(np.column_stack([customer_N[kept], day_N[kept]]), axis=0)
    customers, starts, counts = np.unique(pairs[:, 0], return_index=True, return_counts=True)
    first, last = pairs[starts, 1], pairs[starts + counts - 1, 1]
    return Buyers(
        customers,
        Summary(
            (counts - 1).astype(np.float64),
            (last - first) / DAYS_A_WEEK,
            (until_day - first) / DAYS_A_WEEK,
        ),
    )


def bought_between(
    customer_N: Ints, day_N: Ints, after_day: int, until_day: int, customer_C: Ints
) -> Floats:
    """(C,): on how many days after one day and up to another each customer bought."""
    kept = (day_N > after_day) & (day_N <= until_day)
    pairs = np.unique(np.column_stack([customer_N[kept], day_N[kept]]), axis=0)
    counted = np.bincount(
        np.searchsorted(customer_C, pairs[np.isin(pairs[:, 0], customer_C), 0]),
        minlength=len(customer_C),
    )
    return counted.astype(np.float64)
