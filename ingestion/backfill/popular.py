"""The popular items that answer while no bundle is loaded. Pure."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable

import msgspec

from nearline.contracts.event import Kind
from nearline.transforms.buckets import DAY_US, QUARTER_DAYS
from nearline.transforms.customer import KIND_WEIGHT
from nearline.transforms.item import ItemState

HOW_MANY = 200
HALF_LIFE_US = 7 * DAY_US
_WEIGHTS = (KIND_WEIGHT[Kind.VIEW], KIND_WEIGHT[Kind.CART], KIND_WEIGHT[Kind.PURCHASE])


def popularity(state: ItemState, as_of_us: int) -> float:
    """Interest in an item over its last 30 days: views 1, carts 3, purchases 5, halved weekly."""
    now = QUARTER_DAYS.index_of(as_of_us)
    hops_per_half_life = HALF_LIFE_US / QUARTER_DAYS.hop_us
    total = 0.0
    for index, *counts in state.quarter_day_buckets:
        interest = sum(weight * count for weight, count in zip(_WEIGHTS, counts, strict=True))
        total += interest * math.pow(0.5, max(0, now - index) / hops_per_half_life)
    return total


def popular(items: Iterable[tuple[str, ItemState]], how_many: int = HOW_MANY) -> bytes:
    """JSON `[[item_id, category, price_cents], ...]`, most popular first.

    Counted back from the newest event of all, so that old history has favourites too. "" and
    0 where category and price are unknown; ties go by item id.
    """
    known = list(items)
    as_of_us = max((state.last_seen_us for _, state in known), default=0)
    scored = ((popularity(state, as_of_us), item_id, state) for item_id, state in known)
    best = heapq.nsmallest(
        how_many, (entry for entry in scored if entry[0] > 0), key=lambda e: (-e[0], e[1])
    )
    return msgspec.json.encode(
        [(item_id, state.category, state.price_cents) for _, item_id, state in best]
    )
