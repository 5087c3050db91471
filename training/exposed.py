"""Lists that were shown, as the exposures on the log tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from nearline.contracts.event import EXPOSURE


@dataclass(frozen=True, slots=True)
class Shown:
    """One list: to whom (row), when, and its items (rows), first place first."""

    customer: int
    at_us: int
    items: tuple[int, ...]


def read_shown(
    connection: Any, customer_of: Mapping[str, int], item_of: Mapping[str, int]
) -> list[Shown]:
    """Every list shown to a customer whose behaviour may be learnt from, in order of time.

    Runs over the table `events` of training.datasets. Exposures are logged for analytics alone,
    so that nothing shown becomes a taste. They are read here only for customers whose own events
    may be used for personalization (those in `customer_of`), and only to ask how often places are
    looked at. Unknown items keep their place, as -1.
    """
    found = connection.execute(_LISTS, [EXPOSURE]).fetchall()
    return [
        Shown(customer_of[who], int(at_us), tuple(item_of.get(item, -1) for item in items))
        for who, at_us, items in found
        if who in customer_of
    ]


_LISTS = """
SELECT customer_id, occurred_at_us, list_transform(lines, lambda line: line.item_id)
FROM events WHERE name = ? AND len(lines) > 0
ORDER BY occurred_at_us, event_id
"""
