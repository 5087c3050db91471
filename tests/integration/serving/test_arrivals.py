"""A new item is found soon after it was listed: through log, worker, Redis and a follower."""

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
from nearline.transforms import customer
from serving.arrivals import Stocks
from serving.bundles import load
from serving.config import ServingConfig
from serving.features import connect
from serving.finding import Asked, find
from serving.follow import Follower, RedisItems
from serving.policy.load import shipped
from tests.integration.stream.parts import PARTITIONS, append, worker_of

pytestmark = pytest.mark.redis

LIMIT_S, GIVEN_UP_S = 3.0, 60.0
EVERY_S = ServingConfig("", PARTITIONS, "", Path(), Path()).items_every_s


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
    finder = load(tiny.write(tmp_path / "1"), "1").finder
    assert finder is not None
    taken_s: list[float] = []

    async def story() -> None:
        client, stocks = connect(valkey_server.url), Stocks()
        source = RedisItems(client, PARTITIONS, limit_s=30.0)
        follower = Follower(source, PARTITIONS, lambda: finder.catalogue.index_of)

        async def looking() -> None:  # What a replica does.
            while True:
                await follower.step()
                await asyncio.sleep(EVERY_S)

        def found(item_id: str) -> bool:
            """Whether a stranger's home page could show it."""
            asked = Asked(shipped().scenes["home"], 10, time.time_ns() // 1_000)
            stock = stocks.of("1", finder, follower.table)
            answer = find(stock, follower.table, customer.EMPTY, asked)
            return item_id in {option.item_id for option in answer.options}

        task = asyncio.create_task(looking())
        for number in range(10):
            await asyncio.sleep(EVERY_S * number / 10)  # At any moment between two looks.
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
            while not found(new):
                assert time.monotonic() - started_s < GIVEN_UP_S, f"{new} was not found"
                await asyncio.sleep(0.02)
            taken_s.append(time.monotonic() - started_s)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await client.aclose()

    with working(valkey):
        asyncio.run(story())
    taken_s.sort()
    assert taken_s[5] < 1.0
    assert taken_s[-2] < LIMIT_S  # A pause of the machine may delay one of them.
    with capsys.disabled():
        click.echo(
            f"\nnew item acknowledged -> retrievable: median {1e3 * taken_s[5]:.0f} ms, longest of "
            f" {len(taken_s)} {1e3 * taken_s[-1]:.0f} ms (looks every "
            f"{1e3 * EVERY_S:.0f} ms)"
        )
