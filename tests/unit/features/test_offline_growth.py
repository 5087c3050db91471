"""A snapshot brought up to date holds the rows of one made from the beginning."""

from __future__ import annotations

import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from ingestion.archive.compaction import merge_day
from nearline import history, offline, offline_rows
from nearline.contracts.event import Event
from nearline.contracts.position import LogPosition
from nearline.feast_layout import CUSTOMER_VIEW, ITEM_VIEW
from nearline.history import day_of, log_file_name, table_of, write_day_file
from nearline.transforms.buckets import DAY_US, HOUR_US
from tests.unit.features.test_offline_rows import NOON_US, event, seeded, write
from training.datasets import read


class Shop:
    """A home whose history grows like a real one: two partitions, each flushed on its own."""

    def __init__(self, home: Path) -> None:
        self.history, self.offline, self._scratch = (
            home / "history", home / "offline", home / "again"
        )  # fmt: skip

    def flush(self, events: list[Event], partition: int = 0) -> None:
        """One file a day, named by the positions; a position is the instant, as on the log."""
        for day, rows in groupby(sorted(events, key=lambda e: e.known_at_us), key=day_of):
            held = list(rows)
            at = [
                LogPosition(partition, e.known_at_us // 1_000, int(e.event_id.removeprefix("e")))
                for e in held
            ]
            name = log_file_name(at[0], at[-1])
            write_day_file(self.history, day, name, table_of(held, at))

    def snapshot(self) -> offline.Snapshot:
        """Bring up to date, and compare with all rows and counts of one from the beginning."""
        done = offline.snapshot(self.history, self.offline)
        shutil.rmtree(self._scratch, ignore_errors=True)
        whole = offline.snapshot(self.history, self._scratch)
        for layout in (CUSTOMER_VIEW, ITEM_VIEW):
            assert rows(self.offline, layout) == rows(self._scratch, layout)
        assert (done.events, done.customer_rows, done.item_rows) == (
            whole.events, whole.customer_rows, whole.item_rows
        )  # fmt: skip
        return done


def rows(folder: Path, layout: Any) -> list[dict[str, Any]]:
    table = pq.read_table(offline.source_path(folder, layout.view))
    assert table.schema.remove_metadata().equals(offline.schema_of(layout))
    return table.sort_by("row_number").to_pylist()  # type: ignore[no-any-return]


def test_only_what_is_new_is_folded(tmp_path: Path) -> None:
    shop, events = Shop(tmp_path), seeded(1, 200)
    shop.flush(events[:180])
    assert shop.snapshot().folded == 180
    first_new_us = events[180].known_at_us
    again = sum(e.known_at_us >= first_new_us for e in events[:180])  # the same instant

    shop.flush(events[180:])

    assert shop.snapshot().folded == 20 + again


@pytest.mark.parametrize("seed", range(6))
def test_however_history_grows_the_rows_are_those_of_a_fold_from_the_beginning(
    tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(offline_rows, "_ROWS_AT_ONCE", 40)
    draw = random.Random(seed)
    shop, waiting = Shop(tmp_path), {0: list[Event](), 1: list[Event]()}
    for n, one in enumerate(seeded(20 + seed, 240)):
        waiting[draw.randrange(2)].append(one)
        if draw.random() < 0.15:  # a partition's writer is later than the other's
            partition = draw.randrange(2)
            shop.flush(waiting[partition], partition)
            waiting[partition] = []
        if draw.random() < 0.05:
            for folder in shop.history.glob("day=*"):
                merge_day(folder, draw.randrange(2))
        if n % 60 == 59:
            shop.snapshot()
    for partition, left in waiting.items():
        shop.flush(left, partition)

    assert shop.snapshot().events == 240


def test_merged_files_alone_fold_nothing(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    for start in (1, 3, 5):
        shop.flush([event(n, NOON_US + n * 1_000) for n in (start, start + 1)])
    shop.snapshot()
    (folder,) = shop.history.glob("day=*")
    assert merge_day(folder, 0) == 3

    done = shop.snapshot()

    assert (done.folded, done.unchanged, done.events) == (0, False, 6)


def test_history_imported_afterwards_moves_the_instant_back(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    shop.flush([event(n, NOON_US + n * HOUR_US) for n in range(10)])
    shop.snapshot()
    write(shop.history, [event(90, NOON_US + 6 * HOUR_US)], name="import-more-f_0_1")

    assert shop.snapshot().folded == 1 + 4

    write(shop.history, [event(91, NOON_US - 9 * DAY_US)], name="import-past-f_0_1")
    assert shop.snapshot().folded == 12


def test_history_that_lost_a_file_is_folded_from_the_beginning(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    shop.flush([event(n, NOON_US + n * DAY_US) for n in range(4)])
    shop.snapshot()
    sorted(shop.history.glob("day=*/*.parquet"))[1].unlink()

    done = shop.snapshot()

    assert (done.events, done.folded) == (3, 3)


def test_rows_of_another_layout_are_folded_from_the_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop = Shop(tmp_path)
    shop.flush([event(1, NOON_US)])
    shop.snapshot()
    monkeypatch.setattr(offline, "LAYOUT_VERSION", offline.LAYOUT_VERSION + 1)
    shop.flush([event(2, NOON_US + 1_000)])

    assert shop.snapshot().folded == 2


def test_one_view_of_two_that_was_replaced_is_noticed(tmp_path: Path) -> None:
    """As after a kill between the two renames."""
    shop = Shop(tmp_path)
    shop.flush([event(1, NOON_US)])
    shop.snapshot()
    path = offline.source_path(shop.offline, ITEM_VIEW.view)
    before = path.read_bytes()
    shop.flush([event(2, NOON_US + 1_000)])
    shop.snapshot()
    path.write_bytes(before)

    assert shop.snapshot().folded == 2


def test_short_runs_are_put_together_into_full_row_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(offline_rows, "_ROWS_AT_ONCE", 10)
    shop = Shop(tmp_path)
    for n in range(40):
        shop.flush([event(n, NOON_US + n * HOUR_US)])
        offline.snapshot(shop.history, shop.offline)

    held = pq.ParquetFile(offline.source_path(shop.offline, CUSTOMER_VIEW.view)).metadata

    assert held.num_rows == 40
    assert held.num_row_groups <= 5
    shop.snapshot()


@pytest.mark.slow
def test_killed_at_any_moment_the_rows_stay_whole_and_the_next_run_finishes(
    tmp_path: Path,
) -> None:
    shop, events, draw = Shop(tmp_path), seeded(9, 6_000), random.Random(4)
    shop.flush(events[:3_000])
    offline.snapshot(shop.history, shop.offline)
    ready = "import sys, nearline.offline as o; from pathlib import Path; print(1, flush=True); "
    code = ready + "o.snapshot(Path(sys.argv[1]), Path(sys.argv[2]))"
    killed = 0
    for step in range(6):
        shop.flush(events[3_000 + 500 * step : 3_500 + 500 * step])
        child = subprocess.Popen(
            [sys.executable, "-c", code, str(shop.history), str(shop.offline)],
            stdout=subprocess.PIPE,
        )
        assert child.stdout is not None
        child.stdout.readline()
        time.sleep(draw.uniform(0.0, 0.4))
        child.send_signal(signal.SIGKILL)
        killed += child.wait() == -signal.SIGKILL
        child.stdout.close()
        for layout in (CUSTOMER_VIEW, ITEM_VIEW):
            assert rows(shop.offline, layout)  # opens, and every row can be read

    shop.snapshot()

    assert killed
    names = sorted(path.name for path in shop.offline.rglob("*") if path.is_file())
    assert names == [".lock", "rows.parquet", "rows.parquet"]


def test_rows_and_what_is_learnt_are_of_one_moment_while_history_grows_and_is_merged(
    tmp_path: Path,
) -> None:
    shop, events = Shop(tmp_path), seeded(11, 400)
    shop.flush(events[:150])
    shop.flush(events[150:300])
    at = history.snapshot(shop.history)
    wanted, learnt = offline.snapshot(shop.history, tmp_path / "then"), read(shop.history)

    shop.flush(events[300:])
    assert sum(merge_day(folder, 0) for folder in shop.history.iterdir())

    assert offline.snapshot(shop.history, shop.offline, at=at) == wanted
    for layout in (CUSTOMER_VIEW, ITEM_VIEW):
        assert rows(shop.offline, layout) == rows(tmp_path / "then", layout)
    again = read(shop.history, at)
    assert again.items == learnt.items
    assert again.interactions.known_at_us.tolist() == learnt.interactions.known_at_us.tolist()
    assert len(read(shop.history).interactions) > len(learnt.interactions)


def test_two_at_once_wait_for_each_other_so_both_views_are_of_one_history(tmp_path: Path) -> None:
    shop, events = Shop(tmp_path), seeded(12, 4_000)
    shop.flush(events[:2_000])

    def first_part_done(folded: int) -> None:
        if not other.is_alive() and other.ident is None:
            shop.flush(events[2_000:])
            other.start()

    other = threading.Thread(target=offline.snapshot, args=(shop.history, shop.offline))
    offline.snapshot(shop.history, shop.offline, first_part_done)
    other.join()

    assert offline.is_of(shop.offline, history.snapshot(shop.history))
    assert shop.snapshot().unchanged
