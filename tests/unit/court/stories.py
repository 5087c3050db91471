"""Small events for tests of the court; every value can be read off the test."""

from __future__ import annotations

import random

from nearline.contracts.event import Event, Line, Purpose

MINUTE_US = 60_000_000
HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US
NOON_US = 1_760_011_200_000_000  # 2025-10-09 12:00:00 UTC

NAMES = ("view_item", "add_to_cart", "purchase", "add_to_wishlist")


def did(
    name: str,
    at_us: int = NOON_US,
    *items: str,
    event_id: str = "",
    price_cents: int | None = None,
    category: str | None = None,
    consent: tuple[str, ...] = (Purpose.PERSONALIZATION,),
    value_cents: int | None = None,
    quantity: int = 1,
) -> Event:
    """One event of customer `ada` with a line for each item."""
    return Event(
        event_id=event_id or f"{name}-{at_us}-{'-'.join(items)}",
        type="track",
        name=name,
        customer_id="ada",
        occurred_at_us=at_us,
        known_at_us=at_us,
        source="test",
        lines=tuple(Line(item, quantity, price_cents, category) for item in items or ("lamp",)),
        value_cents=value_cents,
        consent=consent,
    )


def random_log(seed: int, count: int, days: int = 45) -> list[Event]:
    """A seeded log in random order, with ties in time."""
    chance = random.Random(seed)
    return [
        did(
            chance.choices(NAMES, (80, 10, 6, 4))[0],
            NOON_US + chance.randrange(days * 24 * 60) * MINUTE_US,
            *(f"item-{chance.randrange(30)}" for _ in range(chance.randrange(1, 4))),
            event_id=f"{seed}-{number}",
            price_cents=chance.choice((None, 100, 2_500)),
            category=chance.choice((None, "shoes", "lamps")),
        )
        for number in range(count)
    ]
