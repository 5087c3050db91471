"""Seeded logs of a small, untidy shop: late events, ties, refusals, events that count nothing."""

from __future__ import annotations

import random
from collections.abc import Sequence

from nearline.contracts.event import Event, Line, Purpose, StatedFacts
from nearline.contracts.position import LogPosition, partition_of
from nearline.log import Entry

MINUTE_US = 60_000_000
HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US
NOON_US = 1_790_000_000_000_000 // DAY_US * DAY_US + 12 * HOUR_US

_NAMES = ("view_item", "add_to_cart", "purchase", "add_to_wishlist", "item_listed", "exposure")
_WEIGHTS = (60, 12, 8, 8, 4, 4)
_PERSONAL = (Purpose.ANALYTICS, Purpose.PERSONALIZATION)


def event(
    event_id: str,
    *,
    name: str = "view_item",
    customer_id: str = "ada",
    items: Sequence[str] = ("lamp",),
    occurred_at_us: int = NOON_US,
    known_at_us: int | None = None,
    price_cents: int | None = None,
    category: str | None = None,
    value_cents: int | None = None,
    consent: tuple[str, ...] = _PERSONAL,
    type_: str = "track",
    payload: str = "{}",
) -> Event:
    return Event(
        event_id=event_id,
        type=type_,
        name=name,
        customer_id=customer_id,
        occurred_at_us=occurred_at_us,
        known_at_us=known_at_us or occurred_at_us,
        source="test",
        lines=tuple(Line(item, 1, price_cents, category) for item in items),
        value_cents=value_cents,
        consent=consent,
        payload=payload,
    )


def stated_facts(chance: random.Random) -> StatedFacts:
    """Some facts of an item, few values each so that what is said last differs little."""
    return StatedFacts(
        stock=chance.choice((None, 0, 3, 40)),
        rating_hundredths=chance.choice((None, 0, 435, 500)),
        banned=chance.choice((None, None, False, True)),
        min_age_years=chance.choice((None, 0, 18)),
        repurchase_days=chance.choice((None, 0, 14)),
    )


def shop_log(
    seed: int,
    count: int,
    *,
    customers: int = 12,
    items: int = 25,
    start_us: int = NOON_US,
    gap_us: int = 20 * MINUTE_US,
) -> list[Event]:
    """`count` events in the order in which they became known, a gap of up to `gap_us` apart.

    A third became known late: by minutes, hours or up to 40 days.
    """
    chance = random.Random(seed)
    known_us = start_us
    log: list[Event] = []
    for number in range(count):
        known_us += chance.randrange(gap_us + 1)
        late_us = chance.choice((0, 0, 0, 0, MINUTE_US, 3 * HOUR_US, chance.randrange(40 * DAY_US)))
        if chance.random() < 0.05:
            log.append(
                event(
                    f"{seed}-{number}",
                    type_="identify",
                    name="identify",
                    customer_id=f"customer-{chance.randrange(customers)}",
                    items=(),
                    occurred_at_us=known_us,
                )
            )
            continue
        log.append(
            Event(
                event_id=f"{seed}-{number}",
                type="track",
                name=chance.choices(_NAMES, _WEIGHTS)[0],
                customer_id=f"customer-{chance.randrange(customers)}",
                # Whole minutes, so that ties in time are common.
                occurred_at_us=(known_us - late_us) // MINUTE_US * MINUTE_US,
                known_at_us=known_us,
                source="test",
                lines=tuple(
                    Line(
                        f"item-{int(items * chance.random() ** 2)}",
                        chance.randrange(1, 4),
                        chance.choice((None, 100, 2_550, 99_000)),
                        chance.choice((None, "shoes", "lamps", "茶具")),
                        stated_facts(chance) if chance.random() < 0.5 else None,
                    )
                    for _ in range(chance.randrange(4))
                ),
                value_cents=chance.choice((None, None, 1_999)),
                consent=chance.choices((_PERSONAL, (Purpose.ANALYTICS,), ()), (90, 6, 4))[0],
            )
        )
    return log


def entries_of(events: Sequence[Event], partitions: int) -> dict[int, list[Entry]]:
    """The events as they would lie on a log, a few in the same millisecond."""
    log: dict[int, list[Entry]] = {partition: [] for partition in range(partitions)}
    for number, one in enumerate(events):
        partition = partition_of(one.customer_id, partitions)
        log[partition].append(Entry(LogPosition(partition, 1_000 + number // 3, number % 3), one))
    return log
