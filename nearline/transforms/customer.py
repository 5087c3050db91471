"""Customer features: one value that adds, and one function that finishes it (contract 3).

`state_of(event)` turns an event into a small state, states add in any order and grouping
to the same bytes, and `finish(state, as_of_us)` computes the features at an instant. The
stream worker, the backfill, Feast's on-demand view, training and serving all call these.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import msgspec

from nearline.contracts.event import Event, Kind, stable_key
from nearline.transforms.buckets import (
    DAY_US,
    HALF_HOURS,
    HOUR_US,
    LAST_1H,
    LAST_7D,
    LAST_24H,
    LAST_30D,
    MINUTE_US,
    MINUTES,
    PURCHASE_DAYS,
    QUARTER_DAYS,
    Rows,
    merge,
    window_sum,
)

RECENT_LIMIT = 50  # The encoder's longest history; also what session and affinity read.
PURCHASED_LIMIT = 2_000  # The newest purchases win; older ones may be shown again.
SESSION_GAP_US = 30 * MINUTE_US
AFFINITY_HALF_LIFE_US = 7 * DAY_US
KIND_WEIGHT: Mapping[int, float] = {
    Kind.VIEW: 1.0,
    Kind.CART: 3.0,
    Kind.PURCHASE: 5.0,
    Kind.FAVOURITE: 2.0,
}
SPEND_LIMIT_CENTS = 10**12
BUCKET_COLUMNS = 4  # views, carts, purchases, spend in cents
PURCHASE_DAY_COLUMNS = 1  # orders
WINDOWS = (LAST_1H, LAST_24H, LAST_7D, LAST_30D)


class Recent(msgspec.Struct, frozen=True, gc=False):
    """One interaction with one item. Ordered by time, then by a key that breaks ties."""

    at_us: int
    key: int
    item_id: str
    kind: int
    price_cents: int  # 0 where unknown
    category: str  # "" where unknown


@dataclass(frozen=True, slots=True)
class CustomerState:
    """All that is remembered of one customer; adding two covers both.

    Instants are 0 where nothing of the kind has happened. `recent` is newest first.
    `purchased` maps each purchased item to its latest purchase, `purchase_days` each day (UTC,
    since 1970) with a purchase to its orders.
    """

    first_seen_us: int = 0
    last_seen_us: int = 0
    last_view_us: int = 0
    last_cart_us: int = 0
    last_purchase_us: int = 0
    views_total: int = 0
    carts_total: int = 0
    purchases_total: int = 0
    orders_total: int = 0
    spend_total_cents: int = 0
    minute_buckets: Rows = ()
    half_hour_buckets: Rows = ()
    quarter_day_buckets: Rows = ()
    purchase_days: Rows = ()
    recent: tuple[Recent, ...] = ()
    purchased: tuple[tuple[str, int], ...] = ()  # (item_id, latest purchase), sorted by id

    def __add__(self, other: CustomerState) -> CustomerState:
        newest_us = max(self.last_seen_us, other.last_seen_us)
        return CustomerState(
            first_seen_us=_earliest(self.first_seen_us, other.first_seen_us),
            last_seen_us=newest_us,
            last_view_us=max(self.last_view_us, other.last_view_us),
            last_cart_us=max(self.last_cart_us, other.last_cart_us),
            last_purchase_us=max(self.last_purchase_us, other.last_purchase_us),
            views_total=self.views_total + other.views_total,
            carts_total=self.carts_total + other.carts_total,
            purchases_total=self.purchases_total + other.purchases_total,
            orders_total=self.orders_total + other.orders_total,
            spend_total_cents=self.spend_total_cents + other.spend_total_cents,
            minute_buckets=merge(self.minute_buckets, other.minute_buckets, MINUTES, newest_us),
            half_hour_buckets=merge(
                self.half_hour_buckets, other.half_hour_buckets, HALF_HOURS, newest_us
            ),
            quarter_day_buckets=merge(
                self.quarter_day_buckets, other.quarter_day_buckets, QUARTER_DAYS, newest_us
            ),
            purchase_days=merge(self.purchase_days, other.purchase_days, PURCHASE_DAYS, newest_us),
            recent=_merge_recent(self.recent, other.recent),
            purchased=_merge_purchased(self.purchased, other.purchased),
        )


EMPTY = CustomerState()


def state_of(event: Event) -> CustomerState:
    """The state that one event alone makes; EMPTY for events that change no feature."""
    kind = event.kind
    if kind is None or not event.lines or not event.personalizes:
        return EMPTY
    at_us = event.occurred_at_us
    lines = len(event.lines)
    views = lines if kind is Kind.VIEW else 0
    carts = lines if kind is Kind.CART else 0
    purchases = lines if kind is Kind.PURCHASE else 0
    spend_cents = spend_of(event)
    counts = (views, carts, purchases, spend_cents)
    counted = any(counts)
    recent = [
        Recent(
            at_us=at_us,
            key=stable_key(f"{event.event_id}/{number}"),
            item_id=line.item_id,
            kind=int(kind),
            price_cents=line.price_cents or 0,
            category=line.category or "",
        )
        for number, line in enumerate(event.lines)
    ]
    return CustomerState(
        first_seen_us=at_us,
        last_seen_us=at_us,
        last_view_us=at_us if views else 0,
        last_cart_us=at_us if carts else 0,
        last_purchase_us=at_us if purchases else 0,
        views_total=views,
        carts_total=carts,
        purchases_total=purchases,
        orders_total=1 if purchases else 0,
        spend_total_cents=spend_cents,
        minute_buckets=((MINUTES.index_of(at_us), *counts),) if counted else (),
        half_hour_buckets=((HALF_HOURS.index_of(at_us), *counts),) if counted else (),
        quarter_day_buckets=((QUARTER_DAYS.index_of(at_us), *counts),) if counted else (),
        purchase_days=((PURCHASE_DAYS.index_of(at_us), 1),) if purchases else (),
        recent=_merge_recent(tuple(sorted(recent, key=_recent_order)), ()),
        purchased=tuple(sorted({line.item_id: at_us for line in event.lines}.items()))
        if purchases
        else (),
    )


def fold(events: Iterable[Event], start: CustomerState = EMPTY) -> CustomerState:
    """Add the events of one customer to a state."""
    return sum(map(state_of, events), start)


def spend_of(event: Event) -> int:
    """What a purchase cost, in cents: its stated value, else its priced lines; 0 otherwise.

    At most 10^12 either way, so that sums of it stay within a feature column (int64).
    """
    if event.kind is not Kind.PURCHASE:
        return 0
    if event.value_cents is not None:
        return event.value_cents
    cents = sum(line.quantity * (line.price_cents or 0) for line in event.lines)
    return max(-SPEND_LIMIT_CENTS, min(cents, SPEND_LIMIT_CENTS))


def finish(state: CustomerState, as_of_us: int) -> dict[str, float]:
    """The customer's features at an instant, in the order of `CUSTOMER_FEATURES`.

    NaN marks what does not exist (the hours since a purchase that never was). Only events
    up to `as_of_us` may have been folded in; the caller chooses the state accordingly.
    """
    return finish_with_interests(state, as_of_us)[0]


def finish_with_interests(
    state: CustomerState, as_of_us: int
) -> tuple[dict[str, float], dict[str, float]]:
    """`finish` and `category_affinity` at once: both weigh the same interactions."""
    values: dict[str, float] = {}
    for window in WINDOWS:
        rows: Rows = getattr(state, window.tier.name)
        views, carts, purchases, spend = window_sum(rows, window, as_of_us, BUCKET_COLUMNS)
        values[f"views_{window.name}"] = float(views)
        values[f"carts_{window.name}"] = float(carts)
        values[f"purchases_{window.name}"] = float(purchases)
        values[f"spend_{window.name}_cents"] = float(spend)
    values["view_age_hours"] = _hours_since(state.last_view_us, as_of_us)
    values["cart_age_hours"] = _hours_since(state.last_cart_us, as_of_us)
    values["purchase_age_hours"] = _hours_since(state.last_purchase_us, as_of_us)
    values["seen_age_hours"] = _hours_since(state.last_seen_us, as_of_us)
    values["tenure_days"] = _hours_since(state.first_seen_us, as_of_us) / 24.0
    values["views_total"] = float(state.views_total)
    values["carts_total"] = float(state.carts_total)
    values["purchases_total"] = float(state.purchases_total)
    values["orders_total"] = float(state.orders_total)
    values["spend_total_cents"] = float(state.spend_total_cents)
    session = current_session(state, as_of_us)
    values["session_events"] = float(len(session))
    values["session_carts"] = float(sum(recent.kind == Kind.CART for recent in session))
    values["session_minutes"] = (
        (session[0].at_us - session[-1].at_us) / MINUTE_US if session else 0.0
    )
    weights = _decayed_weights(state, as_of_us)
    price_cents, price_spread = _price_affinity(state, weights)
    values["price_affinity_cents"] = price_cents
    values["price_affinity_spread"] = price_spread
    shares = _category_affinity(state, weights)
    values["categories_recent"] = float(len(shares))
    values["top_category_share"] = max(shares.values(), default=0.0)
    return values, shares


def current_session(state: CustomerState, as_of_us: int) -> tuple[Recent, ...]:
    """The newest run of interactions with gaps of at most 30 minutes, newest first.

    Empty when the last interaction lies more than 30 minutes back. At most 50 are known.
    """
    recent = state.recent
    if not recent or as_of_us - recent[0].at_us > SESSION_GAP_US:
        return ()
    for count, (newer, older) in enumerate(pairwise(recent), start=1):
        if newer.at_us - older.at_us > SESSION_GAP_US:
            return recent[:count]
    return recent


def last_order(state: CustomerState) -> tuple[str, ...]:
    """The items of the newest purchase by their ids; what one instant bought is one order."""
    newest_us = state.last_purchase_us
    return tuple(item_id for item_id, at_us in state.purchased if at_us == newest_us)


def category_affinity(state: CustomerState, as_of_us: int) -> dict[str, float]:
    """Shares of recent interest by category, each in (0, 1] and summing to 1.

    An interaction weighs by kind (view 1, favourite 2, cart 3, purchase 5) and halves every
    seven days. Interactions without a category are left out.
    """
    return _category_affinity(state, _decayed_weights(state, as_of_us))


def _category_affinity(state: CustomerState, weights: Sequence[float]) -> dict[str, float]:
    sums: dict[str, float] = {}
    for recent, weight in zip(state.recent, weights, strict=True):
        if recent.category:
            sums[recent.category] = sums.get(recent.category, 0.0) + weight
    total = math.fsum(sums.values())
    return {name: one / total for name, one in sums.items()} if total > 0 else {}


def price_affinity(state: CustomerState, as_of_us: int) -> tuple[float, float]:
    """The decayed mean price of recent interactions in cents, and its relative spread.

    Spread is the standard deviation over the mean. Both NaN when no price is known.
    """
    return _price_affinity(state, _decayed_weights(state, as_of_us))


def _price_affinity(state: CustomerState, weights: Sequence[float]) -> tuple[float, float]:
    weighted = [
        (weight, float(recent.price_cents))
        for recent, weight in zip(state.recent, weights, strict=True)
        if recent.price_cents > 0
    ]
    total = math.fsum(weight for weight, _ in weighted)
    if total <= 0:
        return math.nan, math.nan
    mean = math.fsum(weight * price for weight, price in weighted) / total
    variance = math.fsum(weight * (price - mean) ** 2 for weight, price in weighted) / total
    return mean, math.sqrt(variance) / mean


def _decayed_weights(state: CustomerState, as_of_us: int) -> list[float]:
    """The weight of each recent interaction, in step with `state.recent`."""
    return [
        KIND_WEIGHT[recent.kind]
        * math.pow(0.5, max(0, as_of_us - recent.at_us) / AFFINITY_HALF_LIFE_US)
        for recent in state.recent
    ]


def _hours_since(instant_us: int, as_of_us: int) -> float:
    return max(0, as_of_us - instant_us) / HOUR_US if instant_us else math.nan


def _earliest(left: int, right: int) -> int:
    return min(left, right) if left and right else left or right


def _recent_order(recent: Recent) -> tuple[int, int]:
    return (-recent.at_us, recent.key)


def _merge_recent(left: tuple[Recent, ...], right: tuple[Recent, ...]) -> tuple[Recent, ...]:
    if not right or not left:
        return (left or right)[:RECENT_LIMIT]
    if _recent_order(right[-1]) < _recent_order(left[0]):
        return (right + left)[:RECENT_LIMIT]
    return tuple(sorted(left + right, key=_recent_order)[:RECENT_LIMIT])


def _merge_purchased(
    left: tuple[tuple[str, int], ...], right: tuple[tuple[str, int], ...]
) -> tuple[tuple[str, int], ...]:
    if not left or not right:
        return left or right
    latest = dict(left)
    for item_id, at_us in right:
        latest[item_id] = max(at_us, latest.get(item_id, 0))
    if len(latest) > PURCHASED_LIMIT:
        newest = sorted(latest.items(), key=lambda pair: (-pair[1], pair[0]))
        latest = dict(newest[:PURCHASED_LIMIT])
    return tuple(sorted(latest.items()))


CUSTOMER_FEATURES: tuple[str, ...] = tuple(finish(EMPTY, 0))
