"""New arrivals: which items were first known when, for whoever must find them before training.

One sorted set of the newest items. Recording is safe to repeat: the earliest instant stays,
also where older events of an item are imported later.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from nearline import keys
from nearline.transforms.buckets import DAY_US

if TYPE_CHECKING:
    from redis.client import Pipeline

KEPT_ITEMS = 50_000
KEPT_US = 30 * DAY_US


def record(pipeline: Pipeline, first_known_us: Mapping[str, int]) -> int:
    """Queue the items that are new and the trimming; returns how many replies that makes.

    What is older than 30 days before the newest of these, and all but the newest 50,000, goes.
    """
    if not first_known_us:
        return 0
    newest_us = max(first_known_us.values())
    pipeline.zadd(keys.ARRIVALS, first_known_us, lt=True)
    pipeline.zremrangebyscore(keys.ARRIVALS, "-inf", newest_us - KEPT_US)
    pipeline.zremrangebyrank(keys.ARRIVALS, 0, -KEPT_ITEMS - 1)
    return 3
