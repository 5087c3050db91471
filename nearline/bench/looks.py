"""The bench's events: a customer of its own looks at an item, or puts it in a cart."""

from __future__ import annotations

import time
from typing import Any

from nearline.contracts.answer import RecommendedItem

_CONSENT = {"categoryPreferences": {"analytics": True, "personalization": True}}


def look_message(
    customer_id: str, item: RecommendedItem, number: int, run: str = ""
) -> dict[str, Any]:
    """One event as it goes over the wire; every tenth is a cart."""
    line: dict[str, Any] = {"item_id": item.item_id, "price": item.price_cents / 100}
    if item.category:
        line["item_category"] = item.category
    return {
        "type": "track",
        "event": "add_to_cart" if number % 10 == 9 else "view_item",
        "userId": customer_id,
        "messageId": f"bench-{run}-{time.time_ns()}-{number}",
        "properties": {"items": [line]},
        "context": {"consent": _CONSENT},
    }
