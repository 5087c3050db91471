"""The rows of a made-up shop in the online store, in the layout that the stream worker writes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import redis

from nearline.bench.growth.shapes import Stored
from nearline.bench.growth.shop import DAY_US, NOW_US, Shop, category, customer_id, item_id
from nearline.feast_layout import CUSTOMER_VIEW, ITEM_VIEW, REVISION, sequence_field
from nearline.online import customer_columns, item_columns
from nearline.transforms import customer, item
from nearline.transforms.item import ItemState

_KINDS_OF_CUSTOMERS, _KINDS_OF_ITEMS = 500, 300
_AT_ONCE = 1_000
_SEQUENCE = (sequence_field(0), b"1795201200000-0", REVISION, b"1")
Advance = Callable[[int], None]


def write_items(client: redis.Redis, shop: Shop, seed: int, advance: Advance) -> Stored:
    """A row for each item: a few are met often, most now and then, each with its own price."""
    states = _item_states(shop, seed)
    rows = (
        (ITEM_VIEW.key(item_id(row)), _item_row(shop, row, states[row % len(states)]))
        for row in range(len(shop))
    )
    return _write(client, rows, advance)


def write_customers(
    client: redis.Redis, shop: Shop, customers: int, seed: int, advance: Advance
) -> tuple[Stored, float]:
    """A row for each customer, of 500 different pasts; also events a customer on average."""
    pasts = [
        list(shop.events(customer_id(number), seed + number))
        for number in range(_KINDS_OF_CUSTOMERS)
    ]
    encoded = [
        [*_SEQUENCE, *CUSTOMER_VIEW.encode(customer_columns(customer.fold(past)), NOW_US)]
        for past in pasts
    ]
    rows = (
        (CUSTOMER_VIEW.key(customer_id(number)), encoded[number % len(encoded)])
        for number in range(customers)
    )
    return _write(client, rows, advance), sum(map(len, pasts)) / len(pasts)


def _item_states(shop: Shop, seed: int) -> list[ItemState]:
    """States as events leave them: every tenth of an item that many meet."""
    states: list[ItemState] = []
    for number in range(_KINDS_OF_ITEMS):
        of_many = [
            event
            for again in range(10 if number % 10 == 0 else 1)
            for event in shop.events("anybody", seed + 1_000 + 10 * number + again)
        ]
        # As if all of these had met one item.
        states.append(
            sum(
                (state for event in of_many for state in item.states_of(event).values()),
                item.EMPTY,
            )
        )
    return states


def _item_row(shop: Shop, row: int, state: ItemState) -> list[bytes]:
    state = replace(
        state,
        first_seen_us=NOW_US - (40 + row % 300) * DAY_US,
        price_cents=int(shop.prices_cents_I[row]),
        category=category(int(shop.category_I[row])),
    )
    return [*_SEQUENCE, *ITEM_VIEW.encode(item_columns(state), NOW_US)]


def _write(
    client: redis.Redis, rows: Iterable[tuple[bytes, list[bytes]]], advance: Advance
) -> Stored:
    before, began_s, count = _used(client), time.perf_counter(), 0
    for batch in _batches(rows):
        pipeline = client.pipeline(transaction=False)
        for key, flat in batch:
            pipeline.execute_command("HSET", key, *flat)  # type: ignore[no-untyped-call]
        pipeline.execute()
        count += len(batch)
        advance(len(batch))
    return Stored(count, _used(client) - before, time.perf_counter() - began_s)


def _batches(rows: Iterable[Any]) -> Iterator[list[Any]]:
    batch: list[Any] = []
    for row in rows:
        batch.append(row)
        if len(batch) == _AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch


def _used(client: redis.Redis) -> int:
    info: Any = client.info("memory")
    return int(info["used_memory"])
