"""Staged rows become history: duplicates dropped, sorted by time, one or more files a day.

DuckDB sorts on disk, so memory stays bounded whatever the size of the log. What comes out
depends on the rows alone, not on the chunks that they were staged in: names, order, bytes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa

from ingestion.connectors.staging import FIRST_ROWS, Reason
from nearline import history
from nearline.clock import utc
from nearline.transforms.buckets import DAY_US

_FILE_ROWS = 250_000
_BATCH_ROWS = 20_000


@dataclass(frozen=True, slots=True)
class Published:
    """What history now holds of the import; instants of the first and last event (0: none)."""

    imported: int
    duplicates: Reason
    days: int
    first_us: int
    last_us: int


def publish(
    chunks: list[Path],
    root: Path,
    prefix: str,
    *,
    scratch: Path,
    may_repeat: bool,
    shift_newest_to_us: int | None,
    on_rows: Callable[[int], None],
) -> Published:
    """Write the history files `<prefix>_<first row>_<last row>.parquet`; a repeat writes the same.

    `may_repeat` says that event ids come from the log, so that rows may share one: the first
    row stays. With `shift_newest_to_us` all times move so that the newest event is then.
    """
    scratch.mkdir(parents=True, exist_ok=True)
    with duckdb.connect() as db:
        db.execute("set threads = 2; set memory_limit = '1GB'; set enable_progress_bar = false")
        db.execute("set temp_directory = ?", [str(scratch)])
        db.read_parquet([str(path) for path in chunks]).create_view("staged")
        duplicates = _mark_duplicates(db) if may_repeat else Reason()
        if not may_repeat:
            db.execute("create table repeated (row bigint)")
        db.execute(
            "create view kept as select * from staged where row not in (select row from repeated)"
        )
        first_us, last_us, imported = db.execute(
            "select coalesce(min(occurred_at_us), 0), coalesce(max(occurred_at_us), 0), count(*) "
            "from kept"
        ).fetchall()[0]
        shift_us = shift_newest_to_us - last_us if imported and shift_newest_to_us else 0
        days = set()
        if imported:
            ordered = db.sql("select * from kept order by occurred_at_us, row")
            reader = ordered.to_arrow_reader(_BATCH_ROWS)
            for day, table in _files(reader, shift_us, on_rows):
                rows = table["row"].to_pylist()
                name = f"{prefix}_{min(rows)}_{max(rows)}.parquet"
                events = table.drop_columns(["row"]).cast(history.SCHEMA).combine_chunks()
                history.write_day_file(root, day, name, events.replace_schema_metadata(None))
                days.add(day)
    moved = (first_us + shift_us, last_us + shift_us) if imported else (0, 0)
    return Published(imported, duplicates, len(days), *moved)


def remove(root: Path, name: str) -> int:
    """Remove the history of an import; returns the number of files."""
    wanted = re.compile(rf"^import-{re.escape(name)}-[0-9a-f]{{12}}_\d+_\d+\.parquet$")
    found = [path for path in root.glob("day=*/import-*.parquet") if wanted.match(path.name)]
    for path in found:
        path.unlink()
        if not any(path.parent.iterdir()):
            path.parent.rmdir()
    return len(found)


def _mark_duplicates(db: duckdb.DuckDBPyConnection) -> Reason:
    db.execute(
        "create table repeated as select row from (select row, row_number() over "
        "(partition by event_id order by row) as place from staged) where place > 1"
    )
    count = db.execute("select count(*) from repeated").fetchall()[0][0]
    first = db.execute("select row from repeated order by row limit ?", [FIRST_ROWS]).fetchall()
    return Reason(int(count), [int(row) for (row,) in first])


def _files(
    reader: pa.RecordBatchReader, shift_us: int, on_rows: Callable[[int], None]
) -> Iterator[tuple[str, pa.Table]]:
    """Day and table of each file to write, from batches in time order."""
    day, held, size = -1, list[pa.Table](), 0
    for batch in reader:
        table = _shifted(pa.Table.from_batches([batch]), shift_us)
        days = [at_us // DAY_US for at_us in table["known_at_us"].to_pylist()]
        start = 0
        while start < len(days):
            if days[start] != day or size >= _FILE_ROWS:
                if held:
                    yield _day_name(day), pa.concat_tables(held)
                day, held, size = days[start], [], 0
            end = start
            while end < len(days) and days[end] == day and size + end - start < _FILE_ROWS:
                end += 1
            held.append(table.slice(start, end - start))
            size += end - start
            start = end
        on_rows(len(days))
    if held:
        yield _day_name(day), pa.concat_tables(held)


def _shifted(table: pa.Table, shift_us: int) -> pa.Table:
    import pyarrow.compute as pc

    for name in ("occurred_at_us", "known_at_us") if shift_us else ():
        moved = pc.add(table[name], pa.scalar(shift_us, pa.int64()))
        table = table.set_column(table.schema.get_field_index(name), name, moved)
    return table


def _day_name(day: int) -> str:
    return utc(day * DAY_US).strftime("%Y-%m-%d")
