"""Which items are new: recorded once, whatever dies or is repeated, and never without end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import redis

from ingestion.worker.fold import NewRow, Part, first_known
from ingestion.worker.store import OnlineStore
from nearline import arrivals, keys
from nearline.contracts.event import ITEM_LISTED
from tests.integration.stream.parts import (
    ENDED,
    append,
    archived,
    backfill,
    drain,
    rows,
    stream,
    worker_of,
)
from tests.unit.stream.made import DAY_US, NOON_US, event, shop_log

pytestmark = pytest.mark.redis


def recorded(valkey: redis.Redis) -> dict[str, int]:
    found = valkey.zrange(keys.ARRIVALS, 0, -1, withscores=True)
    return {item_id.decode(): int(at_us) for item_id, at_us in found}  # type: ignore[union-attr]


def test_an_item_is_recorded_when_it_is_first_known_and_not_again(valkey: redis.Redis) -> None:
    append(valkey, [event("1", name=ITEM_LISTED), event("2", known_at_us=NOON_US + 5)])
    stream(valkey)
    append(valkey, [event("3", known_at_us=NOON_US + 9), event("4", items=["rug"])])
    stream(valkey)
    append(valkey, [event("5", name=ITEM_LISTED, known_at_us=NOON_US + DAY_US)])  # Back in stock.
    stream(valkey)

    assert recorded(valkey) == {"lamp": NOON_US, "rug": NOON_US}


def test_older_events_that_come_later_make_an_item_older(valkey: redis.Redis) -> None:
    for at_us in (NOON_US, NOON_US - 5, NOON_US + 9):
        pipeline = valkey.pipeline()
        arrivals.record(pipeline, {"lamp": at_us})
        pipeline.execute()

    assert recorded(valkey) == {"lamp": NOON_US - 5}


def test_refused_events_make_no_arrival(valkey: redis.Redis) -> None:
    append(valkey, [event("1", consent=("analytics",))])
    stream(valkey)

    assert recorded(valkey) == {}


class Killed(BaseException):
    pass


class DiesBeforeRows(OnlineStore):
    """Dies after the first rows' arrivals are recorded and before the rows are."""

    def _send(self, rows: Sequence[tuple[Part, NewRow, int]]) -> list[str]:
        if not (new := first_known(part for part, _, revision in rows if not revision)):
            return super()._send(rows)  # Customers alone.
        with self._client.pipeline(transaction=False) as pipeline:
            arrivals.record(pipeline, new)
            pipeline.execute()
        raise Killed


def test_a_worker_killed_between_the_two_writes_loses_no_arrival(valkey: redis.Redis) -> None:
    append(valkey, [event("1"), event("2", items=["rug"])])
    with pytest.raises(Killed):
        drain(worker_of(valkey, holder=ENDED, store=DiesBeforeRows(valkey)).step)
    stream(valkey)

    assert recorded(valkey) == {"lamp": NOON_US, "rug": NOON_US}


def test_old_arrivals_and_too_many_are_forgotten(
    valkey: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrivals, "KEPT_ITEMS", 2)
    times = {"ancient": 0, "a": 31, "b": 40, "c": 41}
    for item_id, days in times.items():
        at_us = NOON_US + days * DAY_US
        append(valkey, [event(item_id, items=[item_id], occurred_at_us=at_us)])
        stream(valkey)

    assert list(recorded(valkey)) == ["b", "c"]  # `ancient` by age, `a` by number


def test_a_backfill_records_what_the_stream_recorded(valkey: redis.Redis, tmp_path: Path) -> None:
    append(valkey, shop_log(3, 400))
    stream(valkey)
    streamed = recorded(valkey)
    archived(valkey, tmp_path)
    valkey.delete(keys.ARRIVALS)

    backfill(valkey, tmp_path)

    assert set(recorded(valkey)) == set(streamed)
    # A late event may be known before the one that the stream met first in another partition.
    assert all(at_us <= streamed[item_id] for item_id, at_us in recorded(valkey).items())
    assert len(streamed) > 10


def test_who_is_told_of_a_backfill_finds_rows_and_arrivals_already_there(
    valkey: redis.Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(valkey, [event("1"), event("2", items=["rug"])])
    archived(valkey, tmp_path)
    found: list[tuple[set[str], bool]] = []
    really_incr = redis.Redis.incr

    def incr(client: redis.Redis, name: str) -> object:
        if name == keys.ITEMS_REWRITTEN:  # As a follower that looks in this very instant.
            found.append((set(recorded(valkey)), bool(rows(valkey))))
        return really_incr(client, name)

    monkeypatch.setattr(redis.Redis, "incr", incr)
    backfill(valkey, tmp_path)

    assert found == [({"lamp", "rug"}, True)]
