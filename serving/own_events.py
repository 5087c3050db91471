"""Read your own event: an answer waits, bounded, until the store holds what its caller sent."""

from __future__ import annotations

import asyncio
import time

from nearline.contracts.answer import RecommendQuery
from nearline.contracts.position import LogPosition
from nearline.errors import StoreUnavailable
from serving.features import Features
from serving.requests import own_position

AT_ONCE = 64
"""Who may wait. Where the worker lags, every caller's event is late: all of them looking again
and again would take the time that the answers need."""
_SHARE = 0.8  # Of a deadline; the rest is for the answer.
_FIRST_S, _GROWTH, _LAST_S = 0.003, 1.3, 0.05  # Most events are there within some 10 ms.


class OwnEvents:
    """Waits for events of customers. One instance per event loop."""

    def __init__(self, features: Features, at_once: int = AT_ONCE) -> None:
        self._features, self._at_once = features, at_once
        self._waiting = 0

    async def arrived(
        self, query: RecommendQuery, deadline_ms: float | None = None
    ) -> LogPosition | None:
        """`min_position` once the store holds that event; None where it did not within the wait.

        Waits as long as the question allows, and 80 % of its deadline, if it states one; not at all
        where enough others wait already. Raises InvalidRequest: see `own_position`.
        """
        wanted = own_position(query, self._features.partitions)
        limit_ms = float(query.max_wait_ms)
        if deadline_ms is not None:
            limit_ms = min(limit_ms, _SHARE * deadline_ms)
        if self._waiting >= self._at_once:
            limit_ms = 0.0
        self._waiting += 1
        try:
            there = await self._look(query.customer_id, wanted, limit_ms)
        except StoreUnavailable:
            return None
        finally:
            self._waiting -= 1
        return wanted if there else None

    async def _look(self, customer_id: str, wanted: LogPosition, limit_ms: float) -> bool:
        ends_s, pause_s = time.perf_counter() + limit_ms / 1_000, _FIRST_S
        while True:
            seen = await self._features.position(customer_id)
            if seen is not None and seen >= wanted:
                return True
            left_s = ends_s - time.perf_counter()
            if left_s <= 0:
                return False
            await asyncio.sleep(min(pause_s, left_s))
            pause_s = min(_LAST_S, pause_s * _GROWTH)
