"""Clients of Redis for commands: a server that freezes costs them seconds, not for ever."""

from __future__ import annotations

import redis
import redis.asyncio

from nearline.settings import Settings

SILENCE_LIMIT_S = 10.0


def connected(settings: Settings) -> redis.Redis:
    """A client that raises redis.TimeoutError where the server is silent for 10 s."""
    return redis.Redis.from_url(settings.redis_address, socket_timeout=SILENCE_LIMIT_S)


def connected_async(settings: Settings) -> redis.asyncio.Redis:
    """The same for an event loop."""
    return redis.asyncio.Redis.from_url(settings.redis_address, socket_timeout=SILENCE_LIMIT_S)
