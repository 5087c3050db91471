"""Following a real log on a real Valkey, with the stream worker that writes the rows."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis

from ingestion.worker.fold import changes_of
from ingestion.worker.store import OnlineStore
from nearline.contracts.event import Event
from nearline.contracts.position import LogPosition
from nearline.feast_layout import ITEM_VIEW
from nearline.log import read_pages
from nearline.online import item_fields, parse_item_reading
from nearline.transforms.item import ItemState
from serving.features import connect
from serving.follow import ItemSource, RedisItems
from tests.following import FollowerScenarios
from tests.integration.serving.conftest import silent
from tests.integration.stream.parts import (
    ENDED,
    PARTITIONS,
    append,
    archived,
    backfill,
    drain,
    worker_of,
)
from tests.item_shop import items_of

pytestmark = pytest.mark.redis

LIMIT_S = 30.0  # A test machine may pause for seconds.


class RealShop:
    """What the scenarios ask of a shop, done by the parts that do it in production."""

    partitions = PARTITIONS

    def __init__(self, client: redis.Redis, server: Any, history: Path) -> None:
        self._client, self._server, self._history = client, server, history
        self._store = OnlineStore(client)
        self._named: list[str] = []
        self._sources: list[Any] = []

    def append(self, events: Sequence[Event]) -> None:
        append(self._client, events)
        self._named = list(dict.fromkeys([*self._named, *items_of(events)]))

    def work(self, at_most: int | None = None) -> None:
        if at_most is None:
            drain(worker_of(self._client, holder=ENDED).step)
        else:
            worker = worker_of(self._client, holder=ENDED, page_events=at_most)
            worker.step(None)
            worker.record()

    def half_work(self) -> None:
        pages = read_pages(
            self._client, dict(enumerate(self.positions())), count=10_000, block_ms=None
        )
        for partition, page in pages.items():
            self._store.apply({partition: changes_of(page.entries)})

    def backfill(self) -> None:
        archived(self._client, self._history)
        backfill(self._client, self._history)

    def lose(self, item_id: str) -> None:
        assert self._client.delete(ITEM_VIEW.key(item_id)) == 1

    def held(self) -> dict[str, ItemState]:
        found = {}
        for name in self._named:
            reply: Any = self._client.hmget(ITEM_VIEW.key(name), item_fields(PARTITIONS))
            found[name] = parse_item_reading(PARTITIONS, reply).state
        return {name: state for name, state in found.items() if state.first_seen_us}

    def positions(self) -> tuple[LogPosition, ...]:
        return tuple(map(self._store.applied, range(PARTITIONS)))

    @asynccontextmanager
    async def source(self) -> AsyncIterator[ItemSource]:
        client = connect(self._server.url)
        self._sources.append(source := RedisItems(client, PARTITIONS, LIMIT_S))
        yield source
        await client.aclose()

    @contextmanager
    def cut(self) -> Iterator[None]:
        """The server takes connections and says nothing, as one that swaps or forks does."""
        for source in self._sources:
            source._limit_s = 0.05
        with silent(self._server):
            yield
        for source in self._sources:
            source._limit_s = LIMIT_S


@pytest.fixture
def shop(valkey: redis.Redis, valkey_server: Any, tmp_path: Path) -> RealShop:
    return RealShop(valkey, valkey_server, tmp_path / "history")


class TestOnValkey(FollowerScenarios):
    """The whole suite."""
