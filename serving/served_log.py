"""A sample of served feature vectors on its way to the stream; never in an answer's way."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

import redis.asyncio

from nearline import keys
from nearline.contracts.answer import Degradation, Recommendation, RecommendQuery
from nearline.online import CustomerReading
from nearline.served import (
    FEATURES_HASH,
    FIELD,
    FloatCF,
    Served,
    encode,
    is_sampled,
    rows_as_bytes,
)
from serving.config import WRITE_LIMIT_S
from serving.finding import Found

BACKLOG_LIMIT = 500  # Records of 20 to 40 kB each, before they are deflated.
STREAM_LIMIT = 10_000  # Most that wait to be archived; the oldest go first.
BATCH = 20
PAUSE_S = 1.0

Append = Callable[[Sequence[bytes]], Awaitable[object]]

logger = logging.getLogger(__name__)
# Features that could not be read are no features; such an answer proves nothing.
_UNREAD = {Degradation.FEATURES_UNAVAILABLE, Degradation.ITEM_FEATURES_UNAVAILABLE}


def record_of(
    answer: Recommendation,
    query: RecommendQuery,
    reading: CustomerReading,
    found: Found,
    rows_CF: FloatCF,
) -> Served:
    """The record of one answer."""
    options = found.options
    return Served(
        response_id=answer.response_id,
        customer_id=query.customer_id,
        as_of_us=answer.receipt.as_of_us,
        bundle=answer.versions.bundle,
        features_hash=FEATURES_HASH,
        customer_position=str(reading.position) if reading.position else "",
        excluded=query.exclude_item_ids,
        item_ids=tuple(option.item_id for option in options),
        categories=tuple(option.category for option in options),
        item_positions=(answer.receipt.item_positions,) * len(options),
        rows=rows_as_bytes(rows_CF),
    )


class ServedLog:
    """A bounded backlog, written in the background.

    What does not fit is dropped and counted in `dropped`: these records are a sample anyway, and
    an answer never waits for them.
    """

    def __init__(
        self,
        append: Append,
        share: float,
        limit: int = BACKLOG_LIMIT,
        append_limit_s: float = WRITE_LIMIT_S,
    ) -> None:
        self._append, self._share, self._limit = append, share, limit
        self._append_limit_s = append_limit_s
        self._backlog: deque[Served] = deque()
        self._task: asyncio.Task[None] | None = None
        self.dropped = 0
        self.written = 0

    @property
    def waiting(self) -> int:
        return len(self._backlog)

    def wants(self, answer: Recommendation, reading: CustomerReading) -> bool:
        """Whether this answer is of the sample.

        Never a stranger's: a customer's row holds only events that the customer allowed to
        personalize, so whoever has none has allowed nothing. Nor one whose items cannot be
        told exactly.
        """
        return (
            reading.state.first_seen_us > 0
            and bool(answer.receipt.item_positions)
            and not _UNREAD.intersection(answer.degraded)
            and is_sampled(answer.response_id, self._share)
        )

    def add(self, record: Served) -> None:
        """Keep a record for the stream; returns at once. Needs a running event loop."""
        if len(self._backlog) >= self._limit:
            self.dropped += 1
            return
        self._backlog.append(record)
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._run())

    async def close(self, limit_s: float = 2.0) -> None:
        """Write what is left if that is quick, then stop; what is left then is dropped."""
        if self._task is not None:
            await asyncio.wait([self._task], timeout=limit_s)
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if left := len(self._backlog):
            self.dropped += left
            self._backlog.clear()
            logger.warning("%d served vectors were not in their stream at the stop: dropped", left)

    async def _run(self) -> None:
        """Write until nothing waits; a stream that fails is asked again, while new ones queue."""
        while self._backlog:
            batch = [self._backlog[place] for place in range(min(BATCH, len(self._backlog)))]
            try:
                encoded = await asyncio.to_thread(_encoded, batch)
                async with asyncio.timeout(self._append_limit_s):
                    await self._append(encoded)
            except Exception as error:  # noqa: BLE001 - the store may fail in any way; we retry
                logger.warning("served vectors wait for their stream: %s", type(error).__name__)
                await asyncio.sleep(PAUSE_S)
                continue
            self.written += len(batch)
            for _ in batch:
                self._backlog.popleft()


def _encoded(batch: Sequence[Served]) -> list[bytes]:
    return [encode(one) for one in batch]


def appending(client: redis.asyncio.Redis) -> Append:
    """Puts records on their stream, all in one round trip."""

    async def append(batch: Sequence[bytes]) -> None:
        async with client.pipeline(transaction=False) as pipeline:
            for data in batch:
                pipeline.xadd(keys.SERVED, {FIELD: data}, maxlen=STREAM_LIMIT, approximate=True)
            await pipeline.execute()

    return append
