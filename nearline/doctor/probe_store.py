"""Looks at the event log and the online store; decides nothing."""

from __future__ import annotations

import time
from typing import Any

import redis

from nearline import keys
from nearline.doctor.store_checks import Behind


class Store:
    """One server, asked with short timeouts."""

    def __init__(self, url: str) -> None:
        self._client = redis.Redis.from_url(url, socket_timeout=3.0, socket_connect_timeout=2.0)
        # The whole address may hold a password.
        self.address = url.partition("://")[2].rpartition("@")[2]

    def close(self) -> None:
        self._client.close()

    def error(self) -> str | None:
        """Why it does not answer; None when it does."""
        try:
            self._client.ping()
        except redis.RedisError as error:
            return type(error).__name__
        return None

    def version(self) -> str:
        info: Any = self._client.info("server")
        return str(info["redis_version"])

    def config(self) -> dict[str, str] | None:
        """Durability and eviction settings; None where the server does not show them."""
        try:
            found: Any = self._client.config_get("append*", "maxmemory-policy")
        except redis.ResponseError:
            return None
        return dict(found)

    def ahead_s(self) -> float:
        """How far the server's clock is ahead of ours, halving the round trip."""
        before_s = time.time()
        seconds, micros = self._client.time()  # type: ignore[misc]
        return float(seconds + micros / 1e6 - (before_s + time.time()) / 2)

    def partitions(self) -> int | None:
        held: Any = self._client.hget(keys.META, "partitions")
        return int(held) if held else None

    def behind(self, partitions: int, job: str) -> list[Behind]:
        """How far the `worker` or the `history` job is behind, for each partition."""
        position_of = {"worker": keys.applied, "history": keys.archived}[job]
        now_ms = self._now_ms()
        found: list[Behind] = []
        for partition in range(partitions):
            done: Any = self._client.get(position_of(partition)) or b"0-0"
            waiting: Any = self._client.xrange(
                keys.log(partition), min=f"({done.decode()}", count=1
            )
            waiting_s = None
            if waiting:
                # The id of an entry is the server's time when it was appended.
                waiting_s = max(0.0, (now_ms - int(waiting[0][0].split(b"-")[0])) / 1_000)
            holder = bool(self._client.exists(keys.lease(partition, job)))
            found.append(Behind(partition, waiting_s, holder))
        return found

    def counts(self, partitions: int) -> dict[str, int]:
        """Events received and what became of them, over all partitions."""
        totals: dict[str, int] = {}
        for partition in range(partitions):
            held: Any = self._client.hgetall(keys.counts(partition))
            for name, number in held.items():
                totals[name.decode()] = totals.get(name.decode(), 0) + int(number)
        return totals

    def dead_letters(self, partitions: int) -> int:
        streams = map(keys.dead_letters, range(partitions))
        lengths: list[Any] = [self._client.xlen(stream) for stream in streams]
        return sum(lengths)

    def _now_ms(self) -> int:
        seconds, micros = self._client.time()  # type: ignore[misc]
        return int(seconds * 1_000 + micros // 1_000)
