"""Exposures: what was shown goes to the event log, behind the answers and never in their way."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

import msgspec

from nearline.contracts.answer import Recommendation
from nearline.contracts.event import EXPOSURE, NOTHING_SHOWN, Event, Line, Purpose
from serving.config import WRITE_LIMIT_S
from serving.made import FIELD, Made

BACKLOG_LIMIT = 10_000
BATCH = 200
RETRY_FIRST_S, RETRY_LAST_S = 0.1, 5.0
# Until an exposure goes to the log, so that others go with it: each write costs the process that
# answers a round trip, and the log a sync to disk.
LINGER_S = 0.02

Append = Callable[[Sequence[Event]], Awaitable[object]]

logger = logging.getLogger(__name__)


def exposure_of(answer: Recommendation, made: Made, now_us: int) -> Event:
    """The event that says which items were shown, where, in which answer and how it was made.

    Consent is for analytics alone: what Nearline showed must not shape what it shows next.
    """
    payload = {
        "scene": answer.scene,
        "bundle": answer.versions.bundle,
        "rules": answer.versions.rules,
        "experiment": answer.versions.experiment,
        "degraded": answer.degraded,
        "channel": made.query.channel,
        "propensities": [item.propensity for item in answer.items],
        FIELD: made,
    }
    return Event(
        event_id=event_id_of(answer.response_id),
        type="track",
        name=EXPOSURE if answer.items else NOTHING_SHOWN,
        customer_id=made.query.customer_id,
        occurred_at_us=now_us,
        known_at_us=now_us,
        source="serving",
        lines=tuple(
            Line(item.item_id, 1, item.price_cents or None, item.category or None)
            for item in answer.items
        ),
        consent=(Purpose.ANALYTICS.value,),
        response_id=answer.response_id,
        payload=msgspec.json.encode(payload).decode(),
    )


def event_id_of(response_id: str) -> str:
    """The id of the event that says what an answer showed."""
    return f"exposure-{response_id}"


class Exposures:
    """A bounded backlog, emptied in the background and retried until the log takes it.

    The log knows event ids, so sending a batch again cannot count twice. When the backlog is
    full the oldest are lost, and `lost` counts them.
    """

    def __init__(
        self, append: Append, limit: int = BACKLOG_LIMIT, append_limit_s: float = WRITE_LIMIT_S
    ) -> None:
        self._append, self._append_limit_s = append, append_limit_s
        self._backlog: deque[Event] = deque(maxlen=limit)
        self._something = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.failing = False
        self.lost = 0

    @property
    def waiting(self) -> int:
        return len(self._backlog)

    def add(self, event: Event) -> None:
        """Keep an exposure for the log; returns at once. Needs a running event loop."""
        if len(self._backlog) == self._backlog.maxlen:
            self.lost += 1
        self._backlog.append(event)
        self._something.set()
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def flush(self, limit_s: float) -> bool:
        """Wait until the backlog is empty; False when it was not within the limit."""
        deadline = asyncio.get_running_loop().time() + limit_s
        while self._backlog and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.01)
        return not self._backlog

    async def close(self, limit_s: float = 2.0) -> None:
        """Send what is left if that is quick, then stop; what is left then is lost, and said."""
        await self.flush(limit_s)
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if left := len(self._backlog):
            self.lost += left
            self._backlog.clear()
            logger.warning("%d exposures were not in the log when serving stopped: lost", left)

    async def _run(self) -> None:
        pause_s = RETRY_FIRST_S
        while True:
            await self._something.wait()
            await asyncio.sleep(LINGER_S)
            batch = [self._backlog[place] for place in range(min(BATCH, len(self._backlog)))]
            try:
                async with asyncio.timeout(self._append_limit_s):
                    await self._append(batch)
            except Exception as error:  # noqa: BLE001 - the log may fail in any way; we retry
                if not self.failing:
                    logger.warning("exposures wait for the log: %s", type(error).__name__)
                self.failing = True
                await asyncio.sleep(pause_s)
                pause_s = min(RETRY_LAST_S, 2 * pause_s)
                continue
            self.failing, pause_s = False, RETRY_FIRST_S
            sent = {event.event_id for event in batch}
            while self._backlog and self._backlog[0].event_id in sent:
                self._backlog.popleft()
            if not self._backlog:
                self._something.clear()
