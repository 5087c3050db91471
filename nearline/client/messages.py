"""Calls in Segment's format with GA4 e-commerce names: values in, a JSON-ready message out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from nearline.client.errors import EventTooLarge, Message

MAX_EVENT_BYTES = 32 * 1024

# GA4: item_id, item_category, price (of one), quantity; in item_listed also stock, rating, banned,
# min_age, repurchase_days.
Item = Mapping[str, Any]
_CALLS = ("identify", "page")  # Of Segment's, besides track.


def item_line(
    item_id: str,
    *,
    price: float | None = None,
    category: str | None = None,
    quantity: int | None = None,
) -> dict[str, Any]:
    """One entry of GA4's `items`; what is None is left out."""
    line = {"item_id": item_id, "price": price, "item_category": category, "quantity": quantity}
    return {name: value for name, value in line.items() if value is not None}


def track(
    customer_id: str,
    event: str,
    *,
    message_id: str,
    at: datetime,
    consent: Mapping[str, bool] | None,
    properties: Mapping[str, Any] | None = None,
    items: Sequence[Item] | None = None,
) -> Message:
    """Something a customer did. `items` go into the properties, as GA4 has them.

    Raises ValueError for a name that is a call of its own: sent as an event it would say nothing.
    """
    if event in _CALLS:
        raise ValueError(
            f"{event} is a call of its own, no event of that name: call {event}(...) instead; "
            "flush() then returns its verdict with its position"
        )
    held = dict(properties or {})
    if isinstance(items, Mapping | str):
        raise TypeError("items is one item; expected a list of them: items=[{'item_id': ...}]")
    if items is not None:
        held["items"] = [dict(item) for item in items]
    return {
        **_common("track", customer_id, message_id, at, consent),
        "event": event,
        "properties": held,
    }


def identify(
    customer_id: str,
    *,
    message_id: str,
    at: datetime,
    consent: Mapping[str, bool] | None,
    traits: Mapping[str, Any] | None = None,
    anonymous_id: str | None = None,
) -> Message:
    """Who a customer is; `anonymous_id` ties what was done before signing in."""
    message = {
        **_common("identify", customer_id, message_id, at, consent),
        "traits": dict(traits or {}),
    }
    return message | ({"anonymousId": anonymous_id} if anonymous_id else {})


def page(
    customer_id: str,
    *,
    message_id: str,
    at: datetime,
    consent: Mapping[str, bool] | None,
    name: str = "",
    properties: Mapping[str, Any] | None = None,
) -> Message:
    """A page that a customer looked at."""
    message = {
        **_common("page", customer_id, message_id, at, consent),
        "properties": dict(properties or {}),
    }
    return message | ({"name": name} if name else {})


def checked_consent(consent: Mapping[str, bool] | None) -> dict[str, bool] | None:
    """What is claimed, as it stands; raises TypeError where a purpose is neither True nor False.

    A text such as "no" is true to Python, and the collector would refuse each event for it.
    """
    if consent is None:
        return None
    if not isinstance(consent, Mapping) or not all(type(one) is bool for one in consent.values()):
        raise TypeError(
            "consent must say True or False for each purpose, such as "
            '{"analytics": True, "personalization": False}'
        )
    return dict(consent)


def purchase_properties(
    items: Sequence[Item], order_id: str | None, value: float | None, currency: str | None
) -> dict[str, Any]:
    """GA4's purchase; without a value it is the sum of the lines, where all have a price."""
    if value is None and items and all("price" in item for item in items):
        value = round(sum(float(i["price"]) * int(i.get("quantity", 1)) for i in items), 2)
    held = {"transaction_id": order_id, "value": value, "currency": currency}
    return {name: field for name, field in held.items() if field is not None}


def encode(message: Message, limit_bytes: int = MAX_EVENT_BYTES) -> bytes:
    """The message as JSON; raises EventTooLarge, or TypeError for what JSON cannot hold."""
    data = msgspec.json.encode(message)
    if len(data) > limit_bytes:
        raise EventTooLarge(len(data), limit_bytes)
    return data


def batch_body(encoded: Sequence[bytes], sent_at: datetime) -> bytes:
    """The body of POST /v1/batch; `sentAt` lets the collector see a wrong clock."""
    return b'{"sentAt":"%s","batch":[%s]}' % (_rfc3339(sent_at).encode(), b",".join(encoded))


def _common(
    type_: str,
    customer_id: str,
    message_id: str,
    at: datetime,
    consent: Mapping[str, bool] | None,
) -> Message:
    # Without a word on consent, the write key's policy decides; we claim nothing for anybody.
    claimed = checked_consent(consent)
    said = {} if claimed is None else {"consent": {"categoryPreferences": claimed}}
    return {
        "type": type_,
        "messageId": message_id,
        "userId": customer_id,
        "timestamp": _rfc3339(at),
        "context": {"library": {"name": "nearline-python"}, **said},
    }


def _rfc3339(at: datetime) -> str:
    if at.tzinfo is None:
        raise ValueError("the time of an event needs a time zone; this one has none")
    return at.isoformat().replace("+00:00", "Z")
