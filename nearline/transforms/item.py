"""Item features: the same shape as the customer's, one value that adds and one finish."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from nearline.contracts.event import ITEM_LISTED, Event, Kind, Line
from nearline.transforms.buckets import (
    DAY_US,
    HALF_HOURS,
    LAST_1H,
    LAST_7D,
    LAST_24H,
    MINUTES,
    QUARTER_DAYS,
    Rows,
    merge,
    window_sum,
)
from nearline.transforms.item_facts import merge_facts, rows_of

BUCKET_COLUMNS = 3  # views, carts, purchases
WINDOWS = (LAST_1H, LAST_24H, LAST_7D)
# Conversion is shrunk towards 2 % with the weight of 50 views, so that one lucky purchase
# does not outrank a thousand honest views.
PRIOR_CONVERSION = 0.02
PRIOR_VIEWS = 50.0


@dataclass(frozen=True, slots=True)
class ItemState:
    """All that is remembered of one item; adding two covers both.

    Price and category are what the newest listing states, else what the newest other event says:
    anybody may send those, and the rules go by a category. Each fact for the rules (`item_facts`)
    is the newest stated. Ties go to the larger value, so that the order of arrival does not
    matter. `first_seen_us` is its listing or its first event.
    """

    first_seen_us: int = 0
    last_seen_us: int = 0
    views_total: int = 0
    carts_total: int = 0
    purchases_total: int = 0
    price_listed: int = 0  # 1: by a listing. Rows of before there was this read as 0.
    price_at_us: int = 0
    price_cents: int = 0
    category_listed: int = 0
    category_at_us: int = 0
    category: str = ""
    minute_buckets: Rows = ()
    half_hour_buckets: Rows = ()
    quarter_day_buckets: Rows = ()
    facts: Rows = ()

    def __add__(self, other: ItemState) -> ItemState:
        newest_us = max(self.last_seen_us, other.last_seen_us)
        price, category = max(self._price, other._price), max(self._category, other._category)
        first = (self.first_seen_us, other.first_seen_us)
        return ItemState(
            first_seen_us=min(first) if all(first) else max(first),
            last_seen_us=newest_us,
            views_total=self.views_total + other.views_total,
            carts_total=self.carts_total + other.carts_total,
            purchases_total=self.purchases_total + other.purchases_total,
            price_listed=price[0],
            price_at_us=price[1],
            price_cents=price[2],
            category_listed=category[0],
            category_at_us=category[1],
            category=category[2],
            minute_buckets=merge(self.minute_buckets, other.minute_buckets, MINUTES, newest_us),
            half_hour_buckets=merge(
                self.half_hour_buckets, other.half_hour_buckets, HALF_HOURS, newest_us
            ),
            quarter_day_buckets=merge(
                self.quarter_day_buckets, other.quarter_day_buckets, QUARTER_DAYS, newest_us
            ),
            facts=merge_facts(self.facts, other.facts),
        )

    # Whether a listing states it, when, and what: of two statements the larger stands.
    @property
    def _price(self) -> tuple[int, int, int]:
        return self.price_listed, self.price_at_us, self.price_cents

    @property
    def _category(self) -> tuple[int, int, str]:
        return self.category_listed, self.category_at_us, self.category


EMPTY = ItemState()


def states_of(event: Event) -> dict[str, ItemState]:
    """The state that one event makes for each item in it; empty when it counts nothing."""
    listed = event.type == "track" and event.name == ITEM_LISTED  # Says nothing of a customer.
    if not listed and (event.kind is None or not event.personalizes):
        return {}
    states: dict[str, ItemState] = {}
    for line in event.lines:
        state = _state_of_line(event, line, listed)
        seen = states.get(line.item_id)
        states[line.item_id] = state if seen is None else seen + state
    return states


def fold(item_id: str, events: Iterable[Event], start: ItemState = EMPTY) -> ItemState:
    """Add what the events say of one item to its state."""
    return sum((states_of(event).get(item_id, EMPTY) for event in events), start)


def finish(state: ItemState, as_of_us: int) -> dict[str, float]:
    """The item's features at an instant, in the order of `ITEM_FEATURES`; NaN: unknown."""
    values: dict[str, float] = {}
    for window in WINDOWS:
        rows: Rows = getattr(state, window.tier.name)
        views, carts, purchases = window_sum(rows, window, as_of_us, BUCKET_COLUMNS)
        values[f"views_{window.name}"] = float(views)
        values[f"carts_{window.name}"] = float(carts)
        values[f"purchases_{window.name}"] = float(purchases)
    values["conversion_7d"] = (values["purchases_7d"] + PRIOR_CONVERSION * PRIOR_VIEWS) / (
        values["views_7d"] + PRIOR_VIEWS
    )
    values["views_total"] = float(state.views_total)
    values["purchases_total"] = float(state.purchases_total)
    values["price_cents"] = float(state.price_cents) if state.price_cents else math.nan
    age_us = max(0, as_of_us - state.first_seen_us)
    values["age_days"] = age_us / DAY_US if state.first_seen_us else math.nan
    return values


ITEM_FEATURES: tuple[str, ...] = tuple(finish(EMPTY, 0))


def _state_of_line(event: Event, line: Line, listed: bool) -> ItemState:
    at_us, kind = event.occurred_at_us, event.kind
    said, unsaid = (int(listed), at_us), (0, 0)
    price, category = said if line.price_cents else unsaid, said if line.category else unsaid
    counts = (int(kind is Kind.VIEW), int(kind is Kind.CART), int(kind is Kind.PURCHASE))
    counted = any(counts)
    return ItemState(
        first_seen_us=at_us,
        last_seen_us=at_us,
        views_total=counts[0],
        carts_total=counts[1],
        purchases_total=counts[2],
        price_listed=price[0],
        price_at_us=price[1],
        price_cents=line.price_cents or 0,
        category_listed=category[0],
        category_at_us=category[1],
        category=line.category or "",
        minute_buckets=((MINUTES.index_of(at_us), *counts),) if counted else (),
        half_hour_buckets=((HALF_HOURS.index_of(at_us), *counts),) if counted else (),
        quarter_day_buckets=((QUARTER_DAYS.index_of(at_us), *counts),) if counted else (),
        facts=rows_of(line.facts if listed else None, at_us),
    )
