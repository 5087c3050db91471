"""Stream = backfill = naive recount on the RetailRocket log, with duplicates and disorder."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path

import pytest
import redis
from msgspec.structs import replace

from tests.integration.stream.parts import (
    append,
    archived,
    backfill,
    encoded,
    rows,
    stream,
    wipe_rows,
    without_sequences,
)
from tests.integration.stream.retailrocket import retailrocket
from tests.unit.stream import naive

pytestmark = pytest.mark.redis


@pytest.mark.parametrize(
    "limit",
    [pytest.param(4_000, id="first 4,000"), pytest.param(None, id="all", marks=pytest.mark.slow)],
)
def test_stream_backfill_and_recount_agree_on_a_real_shop(
    valkey: redis.Redis,
    tmp_path: Path,
    shared: Path,
    figure: Callable[[str], None],
    limit: int | None,
) -> None:
    log = retailrocket(shared, limit)
    chance = random.Random(1)
    # Out of order within about 300 events, so known late, and one in ten sent again.
    order = sorted(range(len(log)), key=lambda place: place + chance.random() * 300)
    known_us = accumulate((log[place].occurred_at_us for place in order), max)
    log = [
        replace(log[place], known_at_us=at_us) for place, at_us in zip(order, known_us, strict=True)
    ]
    sent = log + chance.choices(log, k=len(log) // 10)
    append(valkey, sent)

    started = time.perf_counter()
    read = stream(valkey)
    streaming_s = time.perf_counter() - started
    streamed = rows(valkey)
    archived(valkey, tmp_path)
    wipe_rows(valkey)
    report = backfill(valkey, tmp_path)
    backfilled = rows(valkey)

    figure(
        f"RetailRocket, {len(log):,} events ({len(sent) - len(log):,} sent twice): "
        f"{report.customers:,} customers and {report.items:,} items; stream {streaming_s:.1f} s "
        f"({read / streaming_s:,.0f} events/s), backfill {report.seconds:.1f} s "
        f"({report.events / report.seconds:,.0f} events/s)"
    )
    assert read == len(log)
    assert backfilled == streamed
    assert without_sequences(streamed) == encoded(naive.customers(log), naive.items(log))
