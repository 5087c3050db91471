"""States as Feast columns, and back: the stored features *are* the state.

Every column is an int, a str, a list of ints or a list of strs, so the same mapping serves
Feast's Redis layout, its Parquet files and its on-demand views.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any, Literal

from nearline.transforms import customer, item
from nearline.transforms.buckets import TIERS, flatten, unflatten
from nearline.transforms.customer import CustomerState, Recent
from nearline.transforms.item import ItemState
from nearline.transforms.item_facts import FACT_COLUMNS

ColumnType = Literal["int", "str", "ints", "strs"]
Value = int | str | list[int] | list[str]
Columns = dict[str, Value]

_BUCKETS = {tier.name for tier in TIERS}


def _scalars(state: type) -> dict[str, ColumnType]:
    types: dict[str, ColumnType] = {}
    for field in fields(state):
        if field.name in _BUCKETS:
            types[field.name] = "ints"
        elif field.type in ("int", "str"):
            types[field.name] = "int" if field.type == "int" else "str"
    return types


CUSTOMER_COLUMNS: dict[str, ColumnType] = {
    **_scalars(CustomerState),
    "purchase_days": "ints",
    "recent_at_us": "ints",
    "recent_keys": "ints",
    "recent_item_ids": "strs",
    "recent_kinds": "ints",
    "recent_prices_cents": "ints",
    "recent_categories": "strs",
    "purchased_item_ids": "strs",
    "purchased_at_us": "ints",
}
ITEM_COLUMNS: dict[str, ColumnType] = {**_scalars(ItemState), "facts": "ints"}
_CUSTOMER_INTS = [name for name, type_ in _scalars(CustomerState).items() if type_ == "int"]
_ITEM_SCALARS = [name for name, type_ in ITEM_COLUMNS.items() if type_ in ("int", "str")]


def customer_columns(state: CustomerState) -> Columns:
    """The state as one row of `CUSTOMER_COLUMNS`."""
    row: Columns = {name: getattr(state, name) for name in _CUSTOMER_INTS}
    for tier in TIERS:
        row[tier.name] = flatten(getattr(state, tier.name))
    row["purchase_days"] = flatten(state.purchase_days)
    row["recent_at_us"] = [recent.at_us for recent in state.recent]
    row["recent_keys"] = [recent.key for recent in state.recent]
    row["recent_item_ids"] = [recent.item_id for recent in state.recent]
    row["recent_kinds"] = [recent.kind for recent in state.recent]
    row["recent_prices_cents"] = [recent.price_cents for recent in state.recent]
    row["recent_categories"] = [recent.category for recent in state.recent]
    row["purchased_item_ids"] = [item_id for item_id, _ in state.purchased]
    row["purchased_at_us"] = [at_us for _, at_us in state.purchased]
    return row


def customer_state(row: Mapping[str, Any]) -> CustomerState:
    """The state that a row came from; a missing or null column reads as nothing."""
    plain: dict[str, Any] = {name: int(row.get(name) or 0) for name in _CUSTOMER_INTS}
    return CustomerState(
        **plain,
        **_buckets(row, customer.BUCKET_COLUMNS),
        purchase_days=unflatten(_listed(row.get("purchase_days")), customer.PURCHASE_DAY_COLUMNS),
        recent=tuple(
            Recent(int(at_us), int(key), str(item_id), int(kind), int(price), str(category))
            for at_us, key, item_id, kind, price, category in zip(
                _listed(row.get("recent_at_us")),
                _listed(row.get("recent_keys")),
                _listed(row.get("recent_item_ids")),
                _listed(row.get("recent_kinds")),
                _listed(row.get("recent_prices_cents")),
                _listed(row.get("recent_categories")),
                strict=True,
            )
        ),
        purchased=tuple(
            (str(item_id), int(at_us))
            for item_id, at_us in zip(
                _listed(row.get("purchased_item_ids")),
                _listed(row.get("purchased_at_us")),
                strict=True,
            )
        ),
    )


def item_columns(state: ItemState) -> Columns:
    """The state as one row of `ITEM_COLUMNS`."""
    row: Columns = {name: getattr(state, name) for name in _ITEM_SCALARS}
    for tier in TIERS:
        row[tier.name] = flatten(getattr(state, tier.name))
    row["facts"] = flatten(state.facts)
    return row


def item_state(row: Mapping[str, Any]) -> ItemState:
    """The state that a row came from; a missing or null column reads as nothing."""
    plain: dict[str, Any] = {
        name: str(row.get(name) or "") if ITEM_COLUMNS[name] == "str" else int(row.get(name) or 0)
        for name in _ITEM_SCALARS
    }
    return ItemState(
        **plain,
        **_buckets(row, item.BUCKET_COLUMNS),
        facts=unflatten(_listed(row.get("facts")), FACT_COLUMNS),
    )


def _buckets(row: Mapping[str, Any], columns: int) -> dict[str, Any]:
    return {tier.name: unflatten(_listed(row.get(tier.name)), columns) for tier in TIERS}


def _listed(value: Iterable[Any] | None) -> Iterable[Any]:
    return () if value is None else value
