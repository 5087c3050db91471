"""A customer row of full size, and one event: what the floor moves about."""

from __future__ import annotations

from nearline.contracts.event import Event, Line
from nearline.transforms.columns import Columns, customer_columns
from nearline.transforms.customer import RECENT_LIMIT, fold

_MINUTE_US = 60_000_000
_START_US = 1_760_000_000_000_000


def event(number: int) -> Event:
    """One look at one item, a minute after the one before."""
    at_us = _START_US + number * _MINUTE_US
    return Event(
        event_id=f"floor-{number}",
        type="track",
        name="view_item",
        customer_id="floor",
        occurred_at_us=at_us,
        known_at_us=at_us,
        source="bench",
        lines=(Line(f"item-{number % 500}", 1, 1_999, f"category-{number % 7}"),),
        consent=("analytics", "personalization"),
    )


def full_row() -> Columns:
    """The row of a customer with as many recent interactions as are kept."""
    return customer_columns(fold(event(number) for number in range(RECENT_LIMIT * 2)))
