"""Small histories to learn from: single events by hand, and a seeded shop with two tastes."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby
from pathlib import Path

import numpy as np

from nearline.contracts.event import ITEM_LISTED, Event, Line
from nearline.history import day_of, table_of, write_day_file
from nearline.transforms.buckets import DAY_US, HOUR_US, MINUTE_US

START_US = 1_760_011_200_000_000  # 2025-10-09 12:00 UTC
ALLOWED = ("analytics", "personalization")


def met(
    who: str,
    what: str | tuple[str, ...],
    at_us: int,
    *,
    name: str = "view_item",
    known_after_us: int = 0,
    consent: tuple[str, ...] = ALLOWED,
    price_cents: int | None = None,
    category: str | None = None,
) -> Event:
    items = (what,) if isinstance(what, str) else what
    return Event(
        event_id=f"{who}/{'+'.join(items)}/{name}/{at_us}",
        type="track",
        name=name,
        customer_id=who,
        occurred_at_us=at_us,
        known_at_us=at_us + known_after_us,
        source="test",
        lines=tuple(Line(item, price_cents=price_cents, category=category) for item in items),
        consent=consent,
    )


def write(root: Path, events: Iterable[Event]) -> Path:
    """Put events into a history folder, by day."""
    ordered = sorted(events, key=lambda event: event.known_at_us)
    for day, of_day in groupby(ordered, key=day_of):
        write_day_file(root, day, "import-test-0_0_0.parquet", table_of(list(of_day)))
    return root


def two_tastes(customers: int = 60, items: int = 40, days: int = 30, seed: int = 3) -> list[Event]:
    """Customers like either the first or the second half of the items, and some leave.

    Sessions walk along neighbouring items, so that what comes next can be learnt; one view in
    five is followed by a cart and one cart in two by a purchase.
    """
    draw = np.random.default_rng(seed)
    half = items // 2
    events = [
        met("shop", f"i{item:02d}", START_US, name=ITEM_LISTED, price_cents=500 + 100 * item,
            category="left" if item < half else "right")
        for item in range(items)
    ]  # fmt: skip
    for customer in range(customers):
        who, offset = f"c{customer:03d}", half * (customer % 2)
        stays_days = days if customer % 3 else draw.uniform(0.3, 0.8) * days
        at_us = START_US + int(draw.uniform(0, 3) * DAY_US)
        while at_us < START_US + stays_days * DAY_US:
            item = int(draw.integers(half))
            for _ in range(int(draw.integers(2, 6))):
                what = f"i{offset + item % half:02d}"
                events.append(met(who, what, at_us))
                if draw.random() < 0.2:
                    events.append(met(who, what, at_us + MINUTE_US, name="add_to_cart"))
                    if draw.random() < 0.5:
                        paid = 500 + 100 * (offset + item % half)
                        events.append(
                            met(who, what, at_us + 2 * MINUTE_US, name="purchase",
                                price_cents=paid)
                        )  # fmt: skip
                item += int(draw.integers(1, 3))
                at_us += 4 * MINUTE_US
            at_us += int(draw.uniform(10, 60) * HOUR_US)
    return events
