"""What a commerce event says of items and money, in GA4's or in Segment's words."""

from __future__ import annotations

import re
from typing import NamedTuple

from ingestion.collector.fields import text_of
from ingestion.collector.limits import Limits, Refused
from ingestion.collector.listing import FACT_FIELDS, stated_facts
from ingestion.collector.numbers import hundredths_of, whole_of
from nearline.contracts.event import EXPOSURE, ITEM_LISTED, KIND_OF_NAME, Line

# Segment's e-commerce names, compared in lower case.
_GA4_NAME = {
    "product viewed": "view_item",
    "product added": "add_to_cart",
    "order completed": "purchase",
    "product added to wishlist": "add_to_wishlist",
    "product removed": "remove_from_cart",
    "product list viewed": "view_item_list",
    "product clicked": "select_item",
    "cart viewed": "view_cart",
    "checkout started": "begin_checkout",
    "order refunded": "refund",
}
# Events that change features say nothing without an item, so one without is a sender's mistake.
NEEDS_ITEMS = frozenset(KIND_OF_NAME) | {ITEM_LISTED}
# In these, items and money are read; in all other events they are the sender's own affair.
COMMERCE = NEEDS_ITEMS | frozenset(_GA4_NAME.values()) | {EXPOSURE}

_CURRENCY = re.compile(r"[A-Za-z]{3}", re.ASCII)
_ITEM_ID = ("item_id", "product_id")
_CATEGORY = ("item_category", "category")
_VALUE = ("value", "revenue", "total")
_LINE_FIELDS = frozenset((*_ITEM_ID, *_CATEGORY, "quantity", "price"))


class Commerce(NamedTuple):
    """What was read, and the properties that nothing was read from."""

    lines: tuple[Line, ...]
    value_cents: int | None
    currency: str | None
    rest: dict[str, object]


def ga4_name(name: str) -> str:
    """GA4's name of a Segment e-commerce event; any other name as it is."""
    return _GA4_NAME.get(name.lower(), name)


def commerce_of(name: str, properties: dict[str, object], limits: Limits) -> Commerce:
    """Read items, value and currency of an event in `COMMERCE`; raises Refused.

    Items lie in GA4's `items` or Segment's `products`, or the one item lies in the properties
    themselves; in `item_listed` each may state facts. The value is `value`, else `revenue`,
    else `total`.
    """
    rest = dict(properties)
    lines = _lines(rest, limits, listing=name == ITEM_LISTED)
    if not lines and name in NEEDS_ITEMS:
        raise Refused(
            "items_missing",
            f"{name} names no item; send properties.items with an item_id in each, "
            "or properties.item_id",
        )
    value_cents = hundredths_of(_first(rest, _VALUE), "value", limits.amount_cents)
    currency = rest.pop("currency", None)
    if currency is None or currency == "":
        return Commerce(lines, value_cents, None, rest)
    if not isinstance(currency, str) or not _CURRENCY.fullmatch(currency):
        raise Refused("currency_invalid", "currency must be three letters (ISO 4217), such as EUR")
    return Commerce(lines, value_cents, currency.upper(), rest)


def _lines(rest: dict[str, object], limits: Limits, *, listing: bool) -> tuple[Line, ...]:
    fields = _LINE_FIELDS | FACT_FIELDS if listing else _LINE_FIELDS
    field = "items" if rest.get("items") else "products"
    listed = rest.get(field)
    if not listed:
        if not any(rest.get(key) not in (None, "") for key in _ITEM_ID):
            return ()
        line = _line({key: rest.pop(key) for key in fields & rest.keys()}, limits, listing)
        return (line,)
    if not isinstance(listed, list):
        raise Refused("items_invalid", f"properties.{field} must be an array of objects")
    if len(listed) > limits.lines:
        raise Refused(
            "too_many_items", f"{len(listed)} items in one event; at most {limits.lines} are taken"
        )
    lines = tuple(_line(item, limits, listing) for item in listed)
    del rest[field]
    others = [{k: v for k, v in item.items() if k not in fields} for item in listed]
    if any(others):
        rest[field] = others
    return lines


def _line(item: object, limits: Limits, listing: bool) -> Line:
    if not isinstance(item, dict):
        raise Refused("items_invalid", "each item must be an object with an item_id")
    item_id = text_of(_first(item, _ITEM_ID, pop=False), "item_id", limits.text_chars)
    if item_id is None:
        raise Refused("items_invalid", "an item has no item_id (or product_id)")
    quantity = whole_of(
        item.get("quantity"), "quantity", 1, limits.quantity, code="quantity_invalid"
    )
    return Line(
        item_id,
        1 if quantity is None else quantity,
        hundredths_of(item.get("price"), "price", limits.amount_cents),
        text_of(_first(item, _CATEGORY, pop=False), "category", limits.text_chars),
        stated_facts(item) if listing else None,
    )


def _first(holder: dict[str, object], fields: tuple[str, ...], *, pop: bool = True) -> object:
    """The first of the fields that says something; taken out of the holder if `pop`."""
    for field in fields:
        if holder.get(field) not in (None, ""):
            return holder.pop(field) if pop else holder[field]
    return None
