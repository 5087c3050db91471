from __future__ import annotations

import pytest

from nearline.feast_layout import CUSTOMER_VIEW, ITEM_VIEW, ViewLayout, decode_value, encode_value
from nearline.transforms import customer, item
from nearline.transforms.columns import (
    CUSTOMER_COLUMNS,
    ITEM_COLUMNS,
    Columns,
    ColumnType,
    Value,
    customer_columns,
    customer_state,
    item_columns,
    item_state,
)

from .stories import NOON_US, random_log


@pytest.mark.parametrize("count", [0, 1, 200])
def test_a_customer_state_survives_its_columns(count: int) -> None:
    state = customer.fold(random_log(4, count))
    row = customer_columns(state)

    assert tuple(row) == tuple(sorted(CUSTOMER_COLUMNS, key=tuple(row).index))
    assert set(row) == set(CUSTOMER_COLUMNS)
    assert customer_state(row) == state


def test_an_item_state_survives_its_columns() -> None:
    state = item.fold("item-1", random_log(5, 200))

    assert set(item_columns(state)) == set(ITEM_COLUMNS)
    assert item_state(item_columns(state)) == state


def test_missing_columns_read_as_nothing() -> None:
    assert customer_state({}) == customer.EMPTY
    assert item_state({"views_total": None}) == item.EMPTY


@pytest.mark.parametrize(
    ("view", "row"),
    [
        (CUSTOMER_VIEW, customer_columns(customer.fold(random_log(6, 50)))),
        (CUSTOMER_VIEW, customer_columns(customer.EMPTY)),
        (ITEM_VIEW, item_columns(item.fold("item-1", random_log(6, 50)))),
    ],
)
def test_a_row_survives_its_redis_fields(view: ViewLayout, row: Columns) -> None:
    flat = view.encode(row, NOON_US + 7)
    held = dict(zip(flat[::2], flat[1::2], strict=True))

    assert view.decode([held.get(field) for field in view.read_fields]) == (row, NOON_US + 7)


def test_an_absent_entity_reads_as_no_row() -> None:
    assert ITEM_VIEW.decode([None] * len(ITEM_VIEW.read_fields)) is None


@pytest.mark.parametrize(
    ("value", "type_"),
    [(0, "int"), (-5, "int"), ("", "str"), ("灯", "str"), ([], "ints"), (["a", ""], "strs")],
)
def test_a_value_survives_its_bytes(value: Value, type_: ColumnType) -> None:
    assert decode_value(encode_value(value, type_), type_) == value
