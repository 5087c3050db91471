"""The event history: Parquet partitioned by day, written atomically, read in order.

A file is named by what it holds: `log-<partition>_<first>_<last>.parquet` for a range of the
log, `import-<name>-<fingerprint>_<first row>_<last row>.parquet` for imported rows. A file
appears whole (written aside, fsynced, renamed) or not at all, so names are the writer's
position: there is no second record that could disagree. The day is that of `known_at_us`.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from nearline.clock import utc
from nearline.contracts.event import Event, Line
from nearline.contracts.position import LogPosition

_LINE = pa.struct(
    [
        ("item_id", pa.string()),
        ("quantity", pa.int64()),
        ("price_cents", pa.int64()),
        ("category", pa.string()),
    ]
)
SCHEMA = pa.schema(
    [
        ("event_id", pa.string()),
        ("type", pa.string()),
        ("name", pa.string()),
        ("customer_id", pa.string()),
        ("occurred_at_us", pa.int64()),
        ("known_at_us", pa.int64()),
        ("source", pa.string()),
        ("anonymous_id", pa.string()),
        ("lines", pa.list_(_LINE)),
        ("value_cents", pa.int64()),
        ("currency", pa.string()),
        ("consent", pa.list_(pa.string())),
        ("response_id", pa.string()),
        ("payload", pa.string()),
        ("schema_version", pa.int32()),
        # Where it lay on the log; null for imported history, which never was there.
        ("log_partition", pa.int32()),
        ("log_ms", pa.int64()),
        ("log_counter", pa.int64()),
    ]
)
_LOG_FILE = re.compile(r"^log-(\d+)_(\d+)-(\d+)_(\d+)-(\d+)\.parquet$")


def day_of(event: Event) -> str:
    """The history day of an event, UTC: `YYYY-MM-DD`."""
    return utc(event.known_at_us).strftime("%Y-%m-%d")


def log_file_name(first: LogPosition, last: LogPosition) -> str:
    """The name of the file that holds a range of one partition, both ends included."""
    return f"log-{first.partition}_{first.stream_id}_{last.stream_id}.parquet"


def last_archived(root: Path, partition: int) -> LogPosition | None:
    """The newest log position of a partition that history holds; None when it holds none."""
    newest: LogPosition | None = None
    for path in root.glob(f"day=*/log-{partition}_*.parquet"):
        match = _LOG_FILE.match(path.name)
        if match:
            last = LogPosition(partition, int(match[4]), int(match[5]))
            newest = last if newest is None or last > newest else newest
    return newest


def table_of(events: Sequence[Event], positions: Sequence[LogPosition] | None = None) -> pa.Table:
    """Events as rows of `SCHEMA`; positions in step with them, or none for imports."""
    rows = {name: [getattr(event, name) for event in events] for name in SCHEMA.names[:8]}
    rows["lines"] = [
        [
            {
                "item_id": line.item_id,
                "quantity": line.quantity,
                "price_cents": line.price_cents,
                "category": line.category,
            }
            for line in event.lines
        ]
        for event in events
    ]
    for name in ("value_cents", "currency", "response_id", "payload", "schema_version"):
        rows[name] = [getattr(event, name) for event in events]
    rows["consent"] = [list(event.consent) for event in events]
    rows["log_partition"] = [p.partition for p in positions] if positions else [None] * len(events)
    rows["log_ms"] = [p.ms for p in positions] if positions else [None] * len(events)
    rows["log_counter"] = [p.counter for p in positions] if positions else [None] * len(events)
    return pa.table(rows, schema=SCHEMA)


def events_of(table: pa.Table) -> Iterator[Event]:
    """The reverse of `table_of`, without positions."""
    for row in table.drop_columns(["log_partition", "log_ms", "log_counter"]).to_pylist():
        row["lines"] = tuple(Line(**line) for line in row["lines"] or ())
        row["consent"] = tuple(row["consent"] or ())
        yield Event(**row)


def write_day_file(root: Path, day: str, name: str, table: pa.Table) -> Path:
    """Write one history file so that it appears whole or not at all; overwrites its equal."""
    return write_atomically(root / f"day={day}" / name, table)


def write_atomically(path: Path, table: pa.Table) -> Path:
    """Write a Parquet file beside its place, fsync it, and rename it there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        pq.write_table(table, aside, compression="zstd")
        with aside.open("rb") as handle:
            os.fsync(handle.fileno())
        aside.rename(path)
    finally:
        aside.unlink(missing_ok=True)
    directory = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
    return path


def files(root: Path) -> list[Path]:
    """Every history file, oldest day first. Files being written (dot names) are not among them."""
    return sorted(root.glob("day=*/[!.]*.parquet"))


def read_days(root: Path) -> Iterator[tuple[str, pa.Table]]:
    """Each day's events in the order in which they became known, oldest day first.

    The order within a day is `known_at_us`, then log position, then event id: the order in
    which the stream saw them.
    """
    by_day: dict[str, list[Path]] = {}
    for path in files(root):
        by_day.setdefault(path.parent.name.removeprefix("day="), []).append(path)
    for day in sorted(by_day):
        table = pa.concat_tables(pq.ParquetFile(path).read() for path in by_day[day]).cast(SCHEMA)
        order = [(name, "ascending") for name in _ORDER]
        yield day, table.sort_by(order)


_ORDER = ("known_at_us", "log_partition", "log_ms", "log_counter", "event_id")
