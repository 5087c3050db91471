"""What a commerce event says of items and money, in GA4's or in Segment's words."""

from __future__ import annotations

import re
from decimal import ROUND_HALF_EVEN, Decimal
from typing import NamedTuple

from ingestion.collector.fields import text_of
from ingestion.collector.limits import Limits, Refused
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

_DECIMAL = re.compile(r"\d{1,12}(\.\d{1,12})?", re.ASCII)
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
    themselves. The value is `value`, else `revenue`, else `total`.
    """
    rest = dict(properties)
    lines = _lines(rest, limits)
    if not lines and name in NEEDS_ITEMS:
        raise Refused(
            "items_missing",
            f"{name} names no item; send properties.items with an item_id in each, "
            "or properties.item_id",
        )
    value_cents = cents_of(_first(rest, _VALUE), "value", limits.amount_cents)
    currency = rest.pop("currency", None)
    if currency is None or currency == "":
        return Commerce(lines, value_cents, None, rest)
    if not isinstance(currency, str) or not _CURRENCY.fullmatch(currency):
        raise Refused("currency_invalid", "currency must be three letters (ISO 4217), such as EUR")
    return Commerce(lines, value_cents, currency.upper(), rest)


def cents_of(value: object, field: str, limit_cents: int) -> int | None:
    """An amount in hundredths, rounded half to even; None where absent.

    Takes a number or decimal text. A float counts as the decimal that it prints as, so 18.99
    is 1899. Raises Refused below zero, above the limit and for anything else.
    """
    if value is None or value == "":
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise Refused("amount_invalid", f"{field} must be a number, such as 18.99")
    if isinstance(value, str) and not _DECIMAL.fullmatch(value):
        raise Refused("amount_invalid", f"{field} must be a number from 0 up, such as 18.99")
    if not isinstance(value, str) and not 0 <= value <= limit_cents:
        raise Refused("amount_invalid", f"{field} must lie from 0 to {limit_cents // 100}")
    exact = Decimal(value if isinstance(value, str) else repr(value)) * 100
    cents = int(exact.to_integral_value(ROUND_HALF_EVEN))
    if cents > limit_cents:
        raise Refused("amount_invalid", f"{field} must lie from 0 to {limit_cents // 100}")
    return cents


def _lines(rest: dict[str, object], limits: Limits) -> tuple[Line, ...]:
    field = "items" if rest.get("items") else "products"
    listed = rest.get(field)
    if not listed:
        if not any(rest.get(key) not in (None, "") for key in _ITEM_ID):
            return ()
        line = _line({key: rest.pop(key) for key in _LINE_FIELDS & rest.keys()}, limits)
        return (line,)
    if not isinstance(listed, list):
        raise Refused("items_invalid", f"properties.{field} must be an array of objects")
    if len(listed) > limits.lines:
        raise Refused(
            "too_many_items", f"{len(listed)} items in one event; at most {limits.lines} are taken"
        )
    lines = tuple(_line(item, limits) for item in listed)
    del rest[field]
    others = [{k: v for k, v in item.items() if k not in _LINE_FIELDS} for item in listed]
    if any(others):
        rest[field] = others
    return lines


def _line(item: object, limits: Limits) -> Line:
    if not isinstance(item, dict):
        raise Refused("items_invalid", "each item must be an object with an item_id")
    item_id = text_of(_first(item, _ITEM_ID, pop=False), "item_id", limits.text_chars)
    if item_id is None:
        raise Refused("items_invalid", "an item has no item_id (or product_id)")
    return Line(
        item_id,
        _quantity(item.get("quantity"), limits.quantity),
        cents_of(item.get("price"), "price", limits.amount_cents),
        text_of(_first(item, _CATEGORY, pop=False), "category", limits.text_chars),
    )


def _quantity(value: object, limit: int) -> int:
    if value is None or value == "":
        return 1
    number = int(value) if isinstance(value, float) and value.is_integer() else value
    if isinstance(number, str) and number.isascii() and number.isdigit() and len(number) < 10:
        number = int(number)
    if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= limit:
        raise Refused("quantity_invalid", f"quantity must be a whole number from 1 to {limit}")
    return number


def _first(holder: dict[str, object], fields: tuple[str, ...], *, pop: bool = True) -> object:
    """The first of the fields that says something; taken out of the holder if `pop`."""
    for field in fields:
        if holder.get(field) not in (None, ""):
            return holder.pop(field) if pop else holder[field]
    return None
