"""Killing the worker and the history writer under load: nothing lost, nothing counted twice."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import redis

from nearline import keys
from nearline.contracts.position import LogPosition
from nearline.feast_layout import CUSTOMER_VIEW, ITEM_VIEW, ViewLayout
from nearline.history import files, last_archived
from tests.integration.stream.parts import backfill, rows
from tests.integration.stream.processes import Running, Sender, environment, until
from tests.integration.stream.recount import Recount
from tests.unit.stream.made import shop_log

pytestmark = [pytest.mark.redis, pytest.mark.slow]

PARTITIONS = 4
KILLS = 20
HISTORY_KILLS = 6
SEED = 2026


def log_ends(valkey: redis.Redis) -> dict[int, LogPosition]:
    return {
        p: LogPosition.of(p, valkey.xinfo_stream(keys.log(p))["last-generated-id"])
        for p in range(PARTITIONS)
    }


def applied(valkey: redis.Redis) -> dict[int, LogPosition]:
    held = {p: valkey.get(keys.applied(p)) for p in range(PARTITIONS)}
    return {p: LogPosition.of(p, value) for p, value in held.items() if value}


def differences(
    valkey: redis.Redis, layout: ViewLayout, counted: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    """Each value online that is not what the recount says, and each row too many or missing."""
    wrong: list[str] = []
    prefix = layout.key("")[:-12]  # Up to the value's length.
    online = sum(key.startswith(prefix) for key in rows(valkey))
    if online != len(counted):
        wrong.append(f"{layout.view}: {online} rows online, {len(counted)} in the recount")
    for entity_id, values in counted.items():
        decoded = layout.decode(valkey.hmget(layout.key(entity_id), layout.read_fields))
        row = decoded[0] if decoded else {}
        wrong += [
            f"{layout.view} {entity_id} {name}: {row.get(name)} online, {value} in the recount"
            for name, value in values.items()
            if row.get(name) != value
        ]
    return wrong


def test_after_20_kills_no_event_is_lost_and_none_is_counted_twice(
    valkey: redis.Redis, tmp_path: Path, figure: Callable[[str], None]
) -> None:
    started = time.monotonic()
    chance = random.Random(SEED)
    port = valkey.connection_pool.connection_kwargs["port"]
    home = tmp_path / "home"
    env = environment(
        home,
        port,
        PARTITIONS,
        NEARLINE_HISTORY_FLUSH_S="0.3",
        NEARLINE_HISTORY_FLUSH_EVENTS="300",
        NEARLINE_LOG_RETENTION_DAYS="0",  # So that the log is trimmed under their feet.
    )
    log = shop_log(SEED, 60_000, customers=150, items=200, gap_us=8_000_000)
    sender = Sender(port, PARTITIONS, log, SEED)
    sender.start()
    worker = Running("worker", env, tmp_path / "worker.txt")
    history = Running("history", env, tmp_path / "history.txt")
    history_dies_at = set(chance.sample(range(KILLS), HISTORY_KILLS))
    try:
        for kill in range(KILLS):
            before = applied(valkey)
            until("the worker applies something", lambda before=before: applied(valkey) != before)
            time.sleep(chance.random() * 0.25)  # The moment is what is random here.
            assert sender.is_alive(), "the load ended before the kills did"
            worker.kill()
            worker = Running("worker", env, tmp_path / "worker.txt")
            if kill in history_dies_at:
                history.kill()
                history = Running("history", env, tmp_path / "history.txt")
        sender.stop.set()
        sender.join()
        assert sender.error is None
        ends = log_ends(valkey)
        until("all is applied", lambda: applied(valkey) == ends)
        until(
            "all is archived",
            lambda: {p: last_archived(home / "history", p) for p in ends} == ends,
        )
    finally:
        sender.stop.set()
        statuses = (worker.end(), history.end())

    recount = Recount(files(home / "history"))
    ids = recount.event_ids()
    customers, items = recount.customers(), recount.items()
    recount.close()
    wrong = differences(valkey, CUSTOMER_VIEW, customers) + differences(valkey, ITEM_VIEW, items)
    lost = set(sender.accepted) - set(ids)
    twice = len(ids) - len(set(ids))
    left = sum(valkey.xlen(keys.log(p)) for p in range(PARTITIONS))
    figure(
        f"{KILLS} kills of the worker, {HISTORY_KILLS} of the history writer: "
        f"{len(sender.accepted):,} events acknowledged (and {sender.duplicates:,} sent twice), "
        f"{len(lost)} lost, {twice} twice in history; {len(customers)} customers and "
        f"{len(items)} items online, {len(wrong)} values differ from the recount in SQL; "
        f"{left:,} events left on the trimmed log; {time.monotonic() - started:.0f} s"
    )

    assert statuses == (0, 0)
    assert sorted(ids) == sorted(sender.accepted)
    assert wrong == []
    assert len(sender.accepted) > 3_000
    assert left < len(sender.accepted)

    streamed = rows(valkey)
    backfill(valkey, home / "history", PARTITIONS)
    assert rows(valkey) == streamed  # And the backfill agrees, byte for byte.
