from __future__ import annotations

import json
from pathlib import Path

import pytest
import redis

from ingestion.backfill.job import Backfill, HistoryMissing, PartitionsTaken
from ingestion.backfill.store import OvertakenBackfill
from ingestion.worker.lease import Leases, this_process
from ingestion.worker.store import OnlineStore
from nearline import keys
from nearline.contracts.position import LogPosition, partition_of
from nearline.feast_layout import CUSTOMER_VIEW, REVISION, sequence_field
from nearline.history import files, table_of, write_day_file
from tests.integration.stream.parts import (
    ENDED,
    PARTITIONS,
    append,
    archived,
    backfill,
    drain,
    encoded,
    rows,
    stream,
    wipe_rows,
    without_sequences,
    worker_of,
)
from tests.unit.stream import naive
from tests.unit.stream.made import NOON_US, event, shop_log

pytestmark = pytest.mark.redis


@pytest.mark.parametrize("seed", range(3))
def test_the_backfill_writes_what_the_stream_wrote_byte_for_byte(
    valkey: redis.Redis, tmp_path: Path, seed: int
) -> None:
    log = shop_log(seed, 700)
    append(valkey, log)
    stream(valkey)
    streamed = rows(valkey)
    archived(valkey, tmp_path)
    wipe_rows(valkey)

    report = backfill(valkey, tmp_path)

    assert rows(valkey) == streamed  # With sequences.
    assert without_sequences(streamed) == encoded(naive.customers(log), naive.items(log))
    assert (report.events, report.customers) == (700, len(naive.customers(log)))


def test_what_history_does_not_hold_yet_is_taken_from_the_log(
    valkey: redis.Redis, tmp_path: Path
) -> None:
    log = shop_log(4, 600)
    append(valkey, log[:400])
    archived(valkey, tmp_path)
    append(valkey, log[400:])

    backfill(valkey, tmp_path)

    assert without_sequences(rows(valkey)) == encoded(naive.customers(log), naive.items(log))


def test_the_worker_goes_on_exactly_where_the_backfill_ended(
    valkey: redis.Redis, tmp_path: Path
) -> None:
    log = shop_log(5, 600)
    append(valkey, log[:200])
    archived(valkey, tmp_path)
    append(valkey, log[200:300])
    backfill(valkey, tmp_path)
    append(valkey, log[300:])

    assert stream(valkey) == 300
    assert without_sequences(rows(valkey)) == encoded(naive.customers(log), naive.items(log))


def test_imported_history_and_the_log_make_one_row(valkey: redis.Redis, tmp_path: Path) -> None:
    imported, live = event("old"), event("new", occurred_at_us=NOON_US + 1)
    write_day_file(tmp_path, "2026-09-21", "import-shop-ab_0_0.parquet", table_of([imported]))
    append(valkey, [live])

    backfill(valkey, tmp_path)
    backfill(valkey, tmp_path)

    expected = encoded(naive.customers([imported, live]), naive.items([imported, live]))
    assert without_sequences(rows(valkey)) == expected


def test_a_customer_of_imports_alone_carries_no_sequence(
    valkey: redis.Redis, tmp_path: Path
) -> None:
    write_day_file(tmp_path, "2026-09-21", "import-shop-ab_0_0.parquet", table_of([event("old")]))

    backfill(valkey, tmp_path)

    partition = partition_of("ada", PARTITIONS)
    assert valkey.hget(CUSTOMER_VIEW.key("ada"), sequence_field(partition)) is None


@pytest.mark.parametrize("written_rows", range(0, 40, 6))
def test_a_backfill_killed_at_any_row_leaves_the_store_exact_and_can_be_run_again(
    valkey: redis.Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written_rows: int
) -> None:
    log = shop_log(6, 300)
    append(valkey, log[:200])
    stream(valkey)
    archived(valkey, tmp_path)
    append(valkey, log[200:250])
    monkeypatch.setattr("ingestion.backfill.store.ROWS_AT_ONCE", 1)
    seen = 0

    def killed(what: str, _done: int, _of: int) -> None:
        nonlocal seen
        seen += what == "rows"
        if seen > written_rows:
            raise KeyboardInterrupt

    leases = Leases(valkey, "worker", range(PARTITIONS), holder=ENDED)
    with pytest.raises(KeyboardInterrupt):
        Backfill(valkey, leases, tmp_path, PARTITIONS, killed).run()
    append(valkey, log[250:])
    stream(valkey)  # The worker goes on as if there had been no backfill ...
    after_worker = rows(valkey)
    backfill(valkey, tmp_path)  # ... and another backfill finds nothing to correct.

    assert rows(valkey) == after_worker
    assert without_sequences(after_worker) == encoded(naive.customers(log), naive.items(log))


def test_a_backfill_refuses_to_work_beside_a_live_worker(
    valkey: redis.Redis, tmp_path: Path
) -> None:
    worker = worker_of(valkey)
    worker.step(None)
    leases = Leases(valkey, "worker", range(PARTITIONS), holder=this_process("backfill"))

    with pytest.raises(PartitionsTaken, match=r"worker \(process \d+ on .*Stop it"):
        Backfill(valkey, leases, tmp_path, PARTITIONS, lambda *_: None).run()


def test_a_backfill_does_not_forget_events_whose_history_is_elsewhere(
    valkey: redis.Redis, tmp_path: Path
) -> None:
    append(valkey, [event("1")])
    archived(valkey, tmp_path)

    with pytest.raises(HistoryMissing, match="NEARLINE_HOME"):
        backfill(valkey, tmp_path / "another")
    files(tmp_path)[0].unlink()
    with pytest.raises(HistoryMissing, match="restore"):
        backfill(valkey, tmp_path)


def test_a_row_that_went_ahead_is_never_taken_back(valkey: redis.Redis, tmp_path: Path) -> None:
    append(valkey, [event("1")])
    archived(valkey, tmp_path)
    partition = partition_of("ada", PARTITIONS)
    valkey.hset(CUSTOMER_VIEW.key("ada"), sequence_field(partition).decode(), "9999999999999-0")

    with pytest.raises(OvertakenBackfill, match="stop the worker"):
        backfill(valkey, tmp_path)

    assert OnlineStore(valkey).applied(partition) == LogPosition(partition, 0, 0)


def test_a_worker_frozen_before_the_backfill_is_refused_by_the_revision(
    valkey: redis.Redis, tmp_path: Path
) -> None:
    log = shop_log(8, 400, customers=4)
    append(valkey, log[:200])
    frozen = worker_of(valkey, holder=ENDED, page_events=20)
    frozen.step(None)
    append(valkey, log[200:])
    archived(valkey, tmp_path)
    backfill(valkey, tmp_path)
    before = rows(valkey)

    drain(frozen.step)

    assert rows(valkey) == before


def test_a_backfill_counts_the_revision_on(valkey: redis.Redis, tmp_path: Path) -> None:
    append(valkey, [event("1")])
    stream(valkey)
    archived(valkey, tmp_path)

    backfill(valkey, tmp_path)

    assert valkey.hget(CUSTOMER_VIEW.key("ada"), REVISION.decode()) == b"2"


def test_the_popular_items_are_left_for_serving(valkey: redis.Redis, tmp_path: Path) -> None:
    append(
        valkey,
        [
            event("1", items=("rug",), category="home", price_cents=5_000),
            event("2", name="purchase", items=("lamp",), price_cents=900),
        ],
    )

    backfill(valkey, tmp_path)

    popular = json.loads(valkey.get(keys.FALLBACK_POPULAR) or b"")
    assert popular == [["lamp", "", 900], ["rug", "home", 5_000]]


def test_without_any_event_there_is_nothing_to_do(valkey: redis.Redis, tmp_path: Path) -> None:
    report = backfill(valkey, tmp_path)

    assert (report.events, report.customers, report.items) == (0, 0, 0)
    assert rows(valkey) == {}
