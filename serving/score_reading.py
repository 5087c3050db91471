"""Reads customers and lets the models speak, in slices that answers can slip in between.

Scoring computes in the thread that answers recommendations. So a batch takes its turn in the
same queue, a slice of a few milliseconds at a time, and gives way where more is asked than can
be answered in time.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from nearline.contracts.answer import Degradation, ScoresQuery
from nearline.errors import StoreUnavailable
from nearline.online import CustomerReading
from nearline.transforms import customer
from serving.bundles import Bundle, Shelf
from serving.features import Features
from serving.foretelling import foretell_each
from serving.scores import Foretold
from serving.turns import Overloaded, Turns

SLICE_MS = 4.0  # About an answer's own time: so much later may a recommendation come.
_FIRST, _MOST = 4, 64  # customers in a slice; the pace of those before decides
_GIVE_WAY_S = 0.05
_STRANGER = CustomerReading(customer.EMPTY, 0, None)

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Scored:
    """One customer's scores, with the bundle and the row that they come from."""

    bundle: Bundle | None
    reading: CustomerReading
    foretold: Foretold


class Scores:
    """Scores customers with the champion's bundle."""

    def __init__(self, features: Features, shelf: Shelf, turns: Turns) -> None:
        self._features, self._shelf, self._turns = features, shelf, turns

    async def read(self, query: ScoresQuery, as_of_us: int, limit_ms: float) -> list[Scored]:
        """Each customer's scores in the order of the question, by one bundle from start to end.

        Whom the time does not suffice for has none, and `DEADLINE` says so. Raises Overloaded
        where not even the first slice gets its turn.
        """
        bundle = self._shelf.current
        ids, found, size = query.customer_ids, list[Scored](), _FIRST
        ends_s = time.perf_counter() + limit_ms / 1_000
        while len(found) < len(ids):
            part = ids[len(found) : len(found) + size]
            try:
                readings = await self._readings(part)
                async with self._turns.turn(limit_ms):
                    start = time.perf_counter()
                    found += _scored(bundle, readings, as_of_us, query)
                    took_ms = (time.perf_counter() - start) * 1_000
            except Overloaded:
                gives_way = len(ids) > 1 and time.perf_counter() + _GIVE_WAY_S < ends_s
                if not (found or gives_way):
                    raise
                await asyncio.sleep(_GIVE_WAY_S)
            else:
                await asyncio.sleep(0)  # Reading may not have waited for anything.
                size = max(1, min(_MOST, 2 * size, int(len(part) * SLICE_MS / max(took_ms, 0.01))))
            if time.perf_counter() > ends_s and found:
                break
        late = Foretold(missing=(Degradation.SCORES_UNAVAILABLE, Degradation.DEADLINE))
        return found + [Scored(bundle, _STRANGER, late)] * (len(ids) - len(found))

    async def _readings(self, ids: Sequence[str]) -> Sequence[CustomerReading | None]:
        try:
            return await self._features.customers(ids)
        except StoreUnavailable:
            return [None] * len(ids)


def _scored(
    bundle: Bundle | None,
    readings: Sequence[CustomerReading | None],
    as_of_us: int,
    query: ScoresQuery,
) -> list[Scored]:
    """What the bundle says of each reading; None stands for a customer who could not be read."""
    unread = (Degradation.FEATURES_UNAVAILABLE, Degradation.SCORES_UNAVAILABLE)
    if bundle is None:
        missing = (Degradation.BUNDLE_UNAVAILABLE, Degradation.SCORES_UNAVAILABLE)
        told = [Foretold(missing=missing) for _ in readings]
    else:
        states, faults = [one.state if one else customer.EMPTY for one in readings], list[str]()
        told = foretell_each(bundle.scores, states, as_of_us, query, faults)
        if faults:
            logger.error("scores failed among %d customers: %s", len(states), faults[0])
    return [
        Scored(bundle, reading or _STRANGER, one if reading else replace(one, missing=unread))
        for reading, one in zip(readings, told, strict=True)
    ]
