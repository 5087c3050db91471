"""Features counted again the slow way, from whole lists of events, sharing no code with us."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from nearline.contracts.event import Event
from nearline.transforms.columns import Columns

MINUTE_US = 60_000_000
TIERS = {  # name: width in minutes, how many widths are kept
    "minute_buckets": (1, 60),
    "half_hour_buckets": (30, 48),
    "quarter_day_buckets": (360, 120),
}
FACTS = ("stock", "rating_hundredths", "banned", "min_age_years", "repurchase_days")
KINDS = {"view_item": 1, "add_to_cart": 2, "purchase": 3, "add_to_wishlist": 4}


def customers(events: Iterable[Event]) -> dict[str, tuple[Columns, int]]:
    """Row and newest known instant of every customer who has any."""
    of: dict[str, list[Event]] = {}
    for event in events:
        if _shapes(event) and event.name in KINDS and event.lines:
            of.setdefault(event.customer_id, []).append(event)
    return {
        customer_id: (_customer(theirs), max(event.known_at_us for event in theirs))
        for customer_id, theirs in of.items()
    }


def items(events: Iterable[Event]) -> dict[str, tuple[Columns, int]]:
    """Row and newest known instant of every item that has any."""
    of: dict[str, list[tuple[Event, Any]]] = {}
    for event in events:
        listed = event.type == "track" and event.name == "item_listed"
        if listed or (_shapes(event) and event.name in KINDS):
            for line in event.lines:
                of.setdefault(line.item_id, []).append((event, line))
    return {
        item_id: (_item(theirs), max(event.known_at_us for event, _ in theirs))
        for item_id, theirs in of.items()
    }


def _shapes(event: Event) -> bool:
    return event.type == "track" and "personalization" in event.consent


def _customer(events: list[Event]) -> Columns:
    times = [event.occurred_at_us for event in events]
    row: Columns = {
        "first_seen_us": min(times),
        "last_seen_us": max(times),
        "orders_total": sum(event.name == "purchase" for event in events),
        "spend_total_cents": sum(_spend(event) for event in events),
    }
    for word, name in (("view", "view_item"), ("cart", "add_to_cart"), ("purchase", "purchase")):
        such = [event for event in events if event.name == name]
        row[f"last_{word}_us"] = max((event.occurred_at_us for event in such), default=0)
        row[f"{word}s_total"] = sum(len(event.lines) for event in such)
    for tier, (minutes, keep) in TIERS.items():
        sums: dict[int, list[int]] = {}
        for event in events:
            if event.name != "add_to_wishlist":
                bucket = sums.setdefault(event.occurred_at_us // (minutes * MINUTE_US), [0] * 4)
                bucket[KINDS[event.name] - 1] += len(event.lines)
                bucket[3] += _spend(event)
        row[tier] = _laid_out(sums, max(times) // (minutes * MINUTE_US) - keep)
    days = [e.occurred_at_us // (1_440 * MINUTE_US) for e in events if e.name == "purchase"]
    kept = [d for d in sorted(set(days)) if d > max(times) // (1_440 * MINUTE_US) - 3_650]
    row["purchase_days"] = [number for day in kept for number in (day, days.count(day))]
    lines = [
        (-event.occurred_at_us, _key(f"{event.event_id}/{place}"), event, line)
        for event in events
        for place, line in enumerate(event.lines)
    ]
    lines.sort(key=lambda entry: entry[:2])
    newest = lines[:50]
    row["recent_at_us"] = [-entry[0] for entry in newest]
    row["recent_keys"] = [entry[1] for entry in newest]
    row["recent_item_ids"] = [entry[3].item_id for entry in newest]
    row["recent_kinds"] = [KINDS[entry[2].name] for entry in newest]
    row["recent_prices_cents"] = [entry[3].price_cents or 0 for entry in newest]
    row["recent_categories"] = [entry[3].category or "" for entry in newest]
    bought: dict[str, int] = {}
    for event in sorted(events, key=lambda event: event.occurred_at_us):
        if event.name == "purchase":
            bought.update(
                dict.fromkeys((line.item_id for line in event.lines), event.occurred_at_us)
            )
    row["purchased_item_ids"] = sorted(bought)
    row["purchased_at_us"] = [bought[item_id] for item_id in sorted(bought)]
    return row


def _item(lines: list[tuple[Event, Any]]) -> Columns:
    times = [event.occurred_at_us for event, _ in lines]
    listings = [entry for entry in lines if entry[0].name == "item_listed"]
    price = _said(listings, "price_cents") or _said(lines, "price_cents") or (0, 0)
    category = _said(listings, "category") or _said(lines, "category") or (0, "")
    row: Columns = {
        "first_seen_us": min(times),
        "last_seen_us": max(times),
        "views_total": sum(event.name == "view_item" for event, _ in lines),
        "carts_total": sum(event.name == "add_to_cart" for event, _ in lines),
        "purchases_total": sum(event.name == "purchase" for event, _ in lines),
        "price_listed": int(_said(listings, "price_cents") is not None),
        "price_at_us": price[0],
        "price_cents": price[1],
        "category_listed": int(_said(listings, "category") is not None),
        "category_at_us": category[0],
        "category": category[1],
        "facts": _facts(lines),
    }
    for tier, (minutes, keep) in TIERS.items():
        sums: dict[int, list[int]] = {}
        for event, _ in lines:
            if event.name in ("view_item", "add_to_cart", "purchase"):
                bucket = sums.setdefault(event.occurred_at_us // (minutes * MINUTE_US), [0] * 3)
                bucket[KINDS[event.name] - 1] += 1
        row[tier] = _laid_out(sums, max(times) // (minutes * MINUTE_US) - keep)
    return row


def _said(lines: list[tuple[Event, Any]], word: str) -> tuple[int, Any] | None:
    """When the newest of these lines said it, and what; None where none did."""
    said = [(e.occurred_at_us, getattr(line, word)) for e, line in lines if getattr(line, word)]
    return max(said, default=None)


def _facts(lines: list[tuple[Event, Any]]) -> list[int]:
    """Code, instant, value of each fact's newest statement, laid end to end."""
    newest: dict[int, tuple[int, int]] = {}
    for event, line in lines:
        if event.name == "item_listed" and line.facts:
            for code, name in enumerate(FACTS):
                value = getattr(line.facts, name)
                if value is not None:
                    said = (event.occurred_at_us, int(value))
                    newest[code] = max(newest.get(code, said), said)
    return [number for code in sorted(newest) for number in (code, *newest[code])]


def _laid_out(sums: dict[int, list[int]], oldest: int) -> list[int]:
    return [number for index in sorted(sums) if index > oldest for number in (index, *sums[index])]


def _spend(event: Event) -> int:
    if event.name != "purchase":
        return 0
    if event.value_cents is not None:
        return event.value_cents
    return sum(line.quantity * (line.price_cents or 0) for line in event.lines)


def _key(text: str) -> int:
    return int(hashlib.blake2b(text.encode(), digest_size=8).hexdigest(), 16) // 2
