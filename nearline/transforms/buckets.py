"""Time buckets: counts that add, kept per hop, finished into windows at read time.

A tier keeps rows `(index, count, count, ...)` where `index = instant // hop`. A window of
n hops read at instant t sums the rows with `t // hop - n < index <= t // hop`, so it covers
between n-1 and n hops: its tail is exact to one hop, and an idle customer's window falls
to zero by itself. Rows are kept sorted and unique by index; old rows are dropped relative
to the newest event folded in, which makes the result independent of arrival order.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from operator import itemgetter

Row = tuple[int, ...]  # index, then one count per column
Rows = tuple[Row, ...]

MINUTE_US = 60_000_000
HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US


@dataclass(frozen=True, slots=True)
class Tier:
    """Buckets of one width. `keep_hops` is the longest window that can be read."""

    name: str
    hop_us: int
    keep_hops: int

    def index_of(self, instant_us: int) -> int:
        return instant_us // self.hop_us


@dataclass(frozen=True, slots=True)
class Window:
    """A named look back over the hops of one tier."""

    name: str
    tier: Tier
    hops: int


MINUTES = Tier("minute_buckets", MINUTE_US, 60)
HALF_HOURS = Tier("half_hour_buckets", 30 * MINUTE_US, 48)
QUARTER_DAYS = Tier("quarter_day_buckets", 6 * HOUR_US, 120)
TIERS = (MINUTES, HALF_HOURS, QUARTER_DAYS)
PURCHASE_DAYS = Tier("purchase_days", DAY_US, 3_650)  # Only of customers: see `lifetime`.

LAST_1H = Window("1h", MINUTES, 60)
LAST_24H = Window("24h", HALF_HOURS, 48)
LAST_7D = Window("7d", QUARTER_DAYS, 28)
LAST_30D = Window("30d", QUARTER_DAYS, 120)


def merge(left: Rows, right: Rows, tier: Tier, newest_us: int) -> Rows:
    """Add two sets of rows and drop what no window ending at `newest_us` or later can see."""
    oldest = tier.index_of(newest_us) - tier.keep_hops
    if not right and (not left or left[0][0] > oldest):
        return left  # Most events are no purchase.
    if len(right) == 1 and left and oldest < right[0][0] >= left[-1][0]:
        # The common case: one new event, at the end; what is too old is a prefix.
        if left[0][0] <= oldest:
            left = left[bisect_right(left, oldest, key=_index) :]
        new = right[0]
        if left and left[-1][0] == new[0]:
            return (*left[:-1], _add(left[-1], new))
        return (*left, new)
    sums: dict[int, Row] = {}
    for row in (*left, *right):
        if row[0] > oldest:
            seen = sums.get(row[0])
            sums[row[0]] = row if seen is None else _add(seen, row)
    return tuple(sums[index] for index in sorted(sums))


def window_sum(rows: Rows, window: Window, as_of_us: int, columns: int) -> tuple[int, ...]:
    """Sum each column over the window that ends at `as_of_us`; zeros where there is nothing."""
    last = window.tier.index_of(as_of_us)
    first = last - window.hops
    totals = [0] * columns
    for row in reversed(rows):
        if row[0] <= first:
            break
        if row[0] <= last:
            for column in range(columns):
                totals[column] += row[column + 1]
    return tuple(totals)


def flatten(rows: Rows) -> list[int]:
    """Rows laid end to end, as they are stored in an array feature."""
    return list(chain.from_iterable(rows))


def unflatten(flat: Iterable[int], columns: int) -> Rows:
    """The reverse of `flatten`; raises ValueError when the length does not fit."""
    numbers = list(map(int, flat))
    stride = columns + 1
    if len(numbers) % stride:
        raise ValueError(f"{len(numbers)} numbers do not make rows of {stride}")
    return tuple(zip(*[iter(numbers)] * stride, strict=True))


_index = itemgetter(0)


def _add(left: Row, right: Row) -> Row:
    return (left[0], *(a + b for a, b in zip(left[1:], right[1:], strict=True)))
