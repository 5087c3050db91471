from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingestion.archive import compaction
from ingestion.archive.compaction import is_closed, merge_closed_days, merge_day
from nearline.contracts.event import Event, Line, StatedFacts
from nearline.contracts.position import LogPosition
from nearline.errors import PermanentError
from nearline.history import (
    SCHEMA,
    appearing_whole,
    archived_positions,
    events_of,
    files,
    last_archived,
    log_file_name,
    positions_of,
    read_days,
    snapshot,
    table_of,
    write_day_file,
)
from tests.unit.stream.made import DAY_US, HOUR_US, NOON_US, event

DAY = "2026-09-21"
NEXT = "2026-09-22"


def at(counter: int, partition: int = 0) -> LogPosition:
    return LogPosition(partition, 5_000, counter)


def write(root: Path, *counters: int, day: str = DAY, partition: int = 0) -> Path:
    """One file with an event at each of these places; its id says which."""
    events = [
        event(f"{partition}/{counter}", occurred_at_us=NOON_US + counter) for counter in counters
    ]
    places = [at(counter, partition) for counter in counters]
    name = log_file_name(places[0], places[-1])
    return write_day_file(root, day, name, table_of(events, places))


def ids(root: Path) -> list[str]:
    return [one.event_id for _, table in read_days(root) for one in events_of(table)]


def test_the_test_day_is_the_day_of_its_events() -> None:
    from nearline.history import day_of

    assert day_of(event("1")) == DAY


def test_events_and_positions_read_back_as_they_were_written(tmp_path: Path) -> None:
    write(tmp_path, 1, 2, 3)

    (table,) = [table for _, table in read_days(tmp_path)]

    assert list(positions_of(table)) == [at(1), at(2), at(3)]
    assert [one.occurred_at_us - NOON_US for one in events_of(table)] == [1, 2, 3]


def test_a_file_within_another_of_its_day_is_left_out(tmp_path: Path) -> None:
    write(tmp_path, 1, 2)
    write(tmp_path, 3)
    whole = write(tmp_path, 1, 2, 3)

    assert files(tmp_path) == [whole]
    assert ids(tmp_path) == ["0/1", "0/2", "0/3"]


def test_the_same_range_of_another_day_or_partition_stays(tmp_path: Path) -> None:
    write(tmp_path, 1, 9)
    write(tmp_path, 2, day=NEXT)
    write(tmp_path, 3, partition=1)

    assert len(files(tmp_path)) == 3


def test_rows_of_files_that_overlap_are_read_once(tmp_path: Path) -> None:
    # Two writers, one of which had been frozen: neither file lies within the other.
    write(tmp_path, 1, 2, 3, 4)
    write(tmp_path, 3, 4, 5)

    assert ids(tmp_path) == ["0/1", "0/2", "0/3", "0/4", "0/5"]


def test_a_half_written_file_is_not_there(tmp_path: Path) -> None:
    write(tmp_path, 1)
    (tmp_path / f"day={DAY}" / ".log-0_5000-2_5000-9.parquet.ab12.tmp").write_bytes(b"PAR1")

    assert ids(tmp_path) == ["0/1"]
    assert last_archived(tmp_path, 0) == at(1)


def test_a_file_whose_writing_failed_leaves_nothing(tmp_path: Path) -> None:
    def fails_half_way() -> None:
        with appearing_whole(tmp_path / "day=x" / "f") as aside:
            aside.write_bytes(b"half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        fails_half_way()

    assert list((tmp_path / "day=x").iterdir()) == []


def test_the_last_position_is_found_on_any_day(tmp_path: Path) -> None:
    # Around midnight a collector whose clock is behind puts a later position into the older day.
    write(tmp_path, 1, 2)
    write(tmp_path, 3, day=NEXT)
    write(tmp_path, 4)

    assert archived_positions(files(tmp_path)) == {0: at(4)}


def test_a_snapshot_reads_the_same_while_history_grows_and_is_merged(tmp_path: Path) -> None:
    write(tmp_path, 1, 2)
    write(tmp_path, 3)
    held = snapshot(tmp_path)
    write(tmp_path, 4)
    merge_day(tmp_path / f"day={DAY}", 0)

    tables = [table for _, table in read_days(tmp_path, held)]

    assert held.positions == {0: at(3)}
    assert [one.event_id for table in tables for one in events_of(table)] == ["0/1", "0/2", "0/3"]
    assert ids(tmp_path) == ["0/1", "0/2", "0/3", "0/4"]


def test_history_removed_by_hand_while_reading_is_said(tmp_path: Path) -> None:
    path = write(tmp_path, 1)
    held = snapshot(tmp_path)
    path.unlink()

    with pytest.raises(PermanentError, match="vanished"):
        list(read_days(tmp_path, held))


def test_merging_keeps_every_event_once_and_removes_the_parts(tmp_path: Path) -> None:
    write(tmp_path, 1, 2)
    write(tmp_path, 3, 4)
    write(tmp_path, 7)
    write(tmp_path, 5, partition=1)

    removed = merge_day(tmp_path / f"day={DAY}", 0)

    names = sorted(path.name for path in (tmp_path / f"day={DAY}").iterdir())
    assert removed == 3
    assert names == ["log-0_5000-1_5000-7.parquet", "log-1_5000-5_5000-5.parquet"]
    assert sorted(ids(tmp_path)) == ["0/1", "0/2", "0/3", "0/4", "0/7", "1/5"]
    assert merge_day(tmp_path / f"day={DAY}", 0) == 0


@pytest.mark.parametrize("survivors", range(4))
def test_a_merge_killed_at_any_removal_reads_the_same_and_is_finished_later(
    tmp_path: Path, survivors: int
) -> None:
    parts = [write(tmp_path, n, n + 1) for n in (1, 3, 5)]
    before = ids(tmp_path)
    write(tmp_path, 1, 2, 3, 4, 5, 6)  # The merged file has appeared ...
    for part in parts[survivors:]:  # ... and the kill came while its parts were removed.
        part.unlink()

    assert ids(tmp_path) == before
    merge_day(tmp_path / f"day={DAY}", 0)

    assert len(files(tmp_path)) == len(list((tmp_path / f"day={DAY}").iterdir())) == 1
    assert ids(tmp_path) == before


def test_a_merge_killed_before_its_file_appears_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, 1)
    write(tmp_path, 2)

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", killed)
        with pytest.raises(KeyboardInterrupt):
            merge_day(tmp_path / f"day={DAY}", 0)

    assert ids(tmp_path) == ["0/1", "0/2"]


def test_a_late_file_joins_the_merged_one(tmp_path: Path) -> None:
    write(tmp_path, 1)
    write(tmp_path, 2)
    merge_day(tmp_path / f"day={DAY}", 0)
    write(tmp_path, 3)

    merge_day(tmp_path / f"day={DAY}", 0)

    assert [path.name for path in files(tmp_path)] == ["log-0_5000-1_5000-3.parquet"]
    assert ids(tmp_path) == ["0/1", "0/2", "0/3"]


def test_only_closed_days_and_own_partitions_are_merged(tmp_path: Path) -> None:
    for partition in (0, 1):
        write(tmp_path, 1, partition=partition)
        write(tmp_path, 2, partition=partition)
        write(tmp_path, 3, day=NEXT, partition=partition)
        write(tmp_path, 4, day=NEXT, partition=partition)
    after_midnight_us = NOON_US + DAY_US

    merged = merge_closed_days(tmp_path, after_midnight_us, lambda: {1})

    assert merged == 2
    assert len(files(tmp_path)) == 7


def test_a_day_closes_an_hour_after_its_midnight() -> None:
    midnight_us = NOON_US + 12 * HOUR_US

    assert not is_closed(DAY, midnight_us + HOUR_US - 1)
    assert is_closed(DAY, midnight_us + HOUR_US)


def test_an_old_leftover_is_removed_and_a_fresh_one_is_left_to_its_writer(
    tmp_path: Path,
) -> None:
    write(tmp_path, 1)
    old, fresh = (tmp_path / f"day={DAY}" / f".{name}.tmp" for name in ("old", "fresh"))
    old.touch()
    fresh.touch()
    os.utime(old, (0, 0))

    merge_closed_days(tmp_path, NOON_US + 2 * DAY_US, lambda: {0})

    assert not old.exists()
    assert fresh.exists()


def test_imported_files_are_never_merged(tmp_path: Path) -> None:
    imported = tmp_path / f"day={DAY}" / "import-shop-ab12_0_9.parquet"
    write_day_file(tmp_path, DAY, imported.name, table_of([event("1")]))
    write(tmp_path, 1)
    write(tmp_path, 2)

    merge_day(imported.parent, 0)

    assert imported in files(tmp_path)
    assert compaction.merge_day(imported.parent, 0) == 0
    assert sorted(ids(tmp_path)) == ["0/1", "0/2", "1"]


def listing(counter: int, stated: StatedFacts | None) -> Event:
    return msgspec.structs.replace(
        event(f"0/{counter}", name="item_listed", occurred_at_us=NOON_US + counter),
        lines=(Line("lamp", 1, 900, "lamps", stated),),
    )


def write_as_before_facts(root: Path, counter: int) -> Path:
    """A file as it was written before lines had facts."""
    table = table_of([listing(counter, None)], [at(counter)])
    lines = SCHEMA.field("lines").type.value_type
    old = pa.list_(pa.struct([field for field in lines if field.name != "facts"]))
    place = SCHEMA.get_field_index("lines")
    table = table.cast(SCHEMA.set(place, pa.field("lines", old)))
    return write_day_file(root, DAY, log_file_name(at(counter), at(counter)), table)


STATED = StatedFacts(stock=0, rating_hundredths=435, banned=False, min_age_years=18)


def test_facts_read_back_as_they_were_stated(tmp_path: Path) -> None:
    listings = [listing(1, STATED), listing(2, None), listing(3, StatedFacts(repurchase_days=0))]
    name = log_file_name(at(1), at(3))
    write_day_file(tmp_path, DAY, name, table_of(listings, [at(n) for n in (1, 2, 3)]))

    assert [one for _, table in read_days(tmp_path) for one in events_of(table)] == listings


def test_files_of_before_there_were_facts_read_and_merge_with_later_ones(tmp_path: Path) -> None:
    old = write_as_before_facts(tmp_path, 1)
    later = table_of([listing(2, STATED)], [at(2)])
    write_day_file(tmp_path, DAY, log_file_name(at(2), at(2)), later)
    expected = [listing(1, None), listing(2, STATED)]
    assert "facts" not in str(pq.read_schema(old))

    assert [one for _, table in read_days(tmp_path) for one in events_of(table)] == expected
    assert merge_day(tmp_path / f"day={DAY}", 0) == 2
    assert [one for _, table in read_days(tmp_path) for one in events_of(table)] == expected
