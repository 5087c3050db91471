"""A new item is found within three seconds of being listed, through worker, Redis and retrieval."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import pytest
import redis
from msgspec.structs import replace as changed

from nearline.contracts.event import ITEM_LISTED, Line
from serving.bundles import Shelf
from serving.config import ServingConfig
from serving.features import RedisFeatures, connect
from serving.retrieval import Retrieval, RetrievalRequest
from tests.integration.stream.parts import PARTITIONS, append, worker_of

pytestmark = pytest.mark.redis

LIMIT_S = 3.0
EVERY_S = ServingConfig("", PARTITIONS, "", Path()).arrivals_every_s


@contextmanager
def working(client: redis.Redis) -> Iterator[None]:
    """A stream worker at work in a thread, as `nearline worker` loops."""
    over = threading.Event()
    worker = worker_of(client)

    def work() -> None:
        while not over.is_set():
            worker.step(200)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_an_item_listed_and_viewed_once_is_retrievable_within_three_seconds(
    valkey: redis.Redis,
    valkey_server: Any,
    tiny: ModuleType,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shelf = Shelf()
    shelf.prepare("1", tiny.write(tmp_path / "1"))
    shelf.activate("1")
    taken_s: list[float] = []

    async def story() -> None:
        client = connect(valkey_server.url)
        retrieval = Retrieval(RedisFeatures(client, PARTITIONS, 2_000), shelf)

        async def looking() -> None:  # What the deployment does.
            while True:
                await retrieval.look_for_arrivals()
                await asyncio.sleep(EVERY_S)

        async def found(who: str, item_id: str) -> bool:
            now_us = time.time_ns() // 1_000
            answer = await retrieval.retrieve(RetrievalRequest(who, (), now_us))
            return item_id in {option.item_id for option in answer.options}

        task = asyncio.create_task(looking())
        for number in range(10):
            new, now_us = f"new-{number}", time.time_ns() // 1_000
            line = Line(new, 1, 1_003, "c3")
            listing = changed(
                tiny.event(number, "shop", ITEM_LISTED, [0]),
                event_id=f"listed/{new}", occurred_at_us=now_us, known_at_us=now_us, lines=(line,),
            )  # fmt: skip
            view = changed(
                listing, event_id=f"viewed/{new}", name="view_item", customer_id="somebody"
            )
            await asyncio.to_thread(append, valkey, [listing, view])
            started_s = time.monotonic()
            while not await found("a stranger", new):
                assert time.monotonic() - started_s < LIMIT_S, f"{new} was not found"
                await asyncio.sleep(0.02)
            taken_s.append(time.monotonic() - started_s)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await client.aclose()

    with working(valkey):
        asyncio.run(story())
    taken_s.sort()
    with capsys.disabled():
        click.echo(
            f"\nnew item acknowledged -> retrievable: median {1e3 * taken_s[5]:.0f} ms, "
            f"longest of {len(taken_s)} {1e3 * taken_s[-1]:.0f} ms (looks every "
            f"{1e3 * EVERY_S:.0f} ms)"
        )
