"""What answers were made of and may change: kept by digest, so that they can be made again."""

from __future__ import annotations

import asyncio
import hashlib

import msgspec
import redis.asyncio
from redis.exceptions import RedisError

from nearline import keys
from nearline.errors import StoreUnavailable
from serving.config import WRITE_LIMIT_S
from serving.features import PopularItem

POLICY, POPULAR = "policy", "popular"
KEPT_S = 30 * 86_400
_AGAIN_FLUSHES = 3_600  # About once an hour: what is in use stays.


def popular_of(kept: bytes) -> tuple[PopularItem, ...]:
    """The popular items that were kept of an answer without a bundle."""
    return msgspec.json.decode(kept, type=tuple[PopularItem, ...])


class Keeper:
    """Notes what an answer used; `flush` puts it into the store now and then."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, str], bytes] = {}
        self._written: dict[tuple[str, str], int] = {}
        self._flushes = 0

    def keep(self, what: str, content: bytes, digest: str = "") -> str:
        """Note some content; returns its digest. Costs next to nothing."""
        digest = digest or hashlib.blake2b(content, digest_size=8).hexdigest()
        self._held[(what, digest)] = content
        return digest

    async def flush(self, client: redis.asyncio.Redis) -> None:
        """Write what is new or was written long ago; raises StoreUnavailable."""
        self._flushes += 1
        due = {
            name: content
            for name, content in self._held.items()
            if name not in self._written or self._flushes - self._written[name] > _AGAIN_FLUSHES
        }
        try:
            for (what, digest), content in due.items():
                async with asyncio.timeout(WRITE_LIMIT_S):
                    await client.set(keys.kept(what, digest), content, ex=KEPT_S)
                self._written[(what, digest)] = self._flushes
        except (RedisError, OSError) as error:
            raise StoreUnavailable("Redis", "its address", type(error).__name__) from error
        self._held = {name: self._held[name] for name in list(self._held)[-20:]}
