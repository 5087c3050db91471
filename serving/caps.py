"""Frequency caps: how many lists a customer got by a channel lately, counted in Redis."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from typing import Protocol

import redis.asyncio
from redis.exceptions import RedisError

from nearline import keys
from nearline.errors import StoreUnavailable
from nearline.transforms.buckets import HOUR_US
from serving.policy.caps import reached
from serving.policy.model import FrequencyCap

# KEYS[1] the customer's lists of a channel, by instant. ARGV: now, response id, how long they are
# remembered in s, then for each cap: the instant from which lists count, and how many may be.
# All caps are looked at before the list is counted, so that two answers at once cannot both be
# the last that is allowed.
_TAKE_SCRIPT = """
for at = 4, #ARGV, 2 do
  if redis.call('ZCOUNT', KEYS[1], '(' .. ARGV[at], '+inf') >= tonumber(ARGV[at + 1]) then
    return 0
  end
end
redis.call('ZADD', KEYS[1], ARGV[1], ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[1] - ARGV[3] * 1000000)
redis.call('EXPIRE', KEYS[1], ARGV[3])
return 1
"""


class Caps(Protocol):
    """Counts lists, and refuses those beyond a cap."""

    async def take(
        self,
        customer_id: str,
        channel: str,
        caps: Sequence[FrequencyCap],
        response_id: str,
        now_us: int,
        *,
        remember_us: int,
    ) -> bool:
        """Count a list by a channel, unless one of its scene's caps is reached; none may be.

        `remember_us` is the longest window of the channel in any scene: a scene that looks back
        for a day must not forget what another's week still counts. Raises StoreUnavailable
        where that cannot be known in time.
        """


class RedisCaps:
    """Counted for all replicas together."""

    def __init__(self, client: redis.asyncio.Redis, timeout_ms: float) -> None:
        self._take = client.register_script(_TAKE_SCRIPT)
        self._timeout_s = timeout_ms / 1_000

    async def take(
        self,
        customer_id: str,
        channel: str,
        caps: Sequence[FrequencyCap],
        response_id: str,
        now_us: int,
        *,
        remember_us: int,
    ) -> bool:
        args: list[str | int] = [now_us, response_id, math.ceil(remember_us / 1_000_000)]
        for cap in caps:
            args += (now_us - round(cap.window_hours * HOUR_US), cap.at_most)
        key = keys.cap(channel, customer_id)
        try:
            async with asyncio.timeout(self._timeout_s):
                taken = await self._take(keys=[key], args=args)
        except (RedisError, OSError, TimeoutError) as error:
            raise StoreUnavailable("Redis", "its address", type(error).__name__) from error
        return bool(taken)


class MemoryCaps:
    """The same in one process, for tests and notebooks; `down` makes every count fail."""

    def __init__(self) -> None:
        self.down = False
        self._lists: dict[tuple[str, str], list[int]] = {}

    async def take(
        self,
        customer_id: str,
        channel: str,
        caps: Sequence[FrequencyCap],
        response_id: str,
        now_us: int,
        *,
        remember_us: int,
    ) -> bool:
        if self.down:
            raise StoreUnavailable("memory", "this process", "switched off")
        lists = self._lists.get((channel, customer_id), [])
        if reached(caps, lists, now_us):
            return False
        kept = [at_us for at_us in lists if at_us > now_us - remember_us]
        self._lists[(channel, customer_id)] = [*kept, now_us]
        return True
