"""The event history: Parquet partitioned by day, written atomically, read in order.

A file is named by what it holds: `log-<partition>_<first>_<last>.parquet` for a range of the
log, `import-<name>-<fingerprint>_<first row>_<last row>.parquet` for imported rows. A file
appears whole (written aside, fsynced, renamed) or not at all, so names are the writer's
position: there is no second record that could disagree. The day is that of `known_at_us`.

A log file holds *all* events of its day within its range. So a file whose range lies within
another's of the same day and partition says nothing new (a merge that was interrupted before
it removed its parts), and readers leave it out.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from nearline.clock import utc
from nearline.contracts.event import Event, Line, StatedFacts
from nearline.contracts.position import LogPosition, start_of
from nearline.errors import PermanentError
from nearline.say import say

_FACTS = pa.struct(
    [
        ("stock", pa.int64()),
        ("rating_hundredths", pa.int64()),
        ("banned", pa.bool_()),
        ("min_age_years", pa.int64()),
        ("repurchase_days", pa.int64()),
    ]
)
_LINE = pa.struct(
    [
        ("item_id", pa.string()),
        ("quantity", pa.int64()),
        ("price_cents", pa.int64()),
        ("category", pa.string()),
        ("facts", _FACTS),  # Null where none is stated; absent in files of before there were any.
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
LEAN = [name for name in SCHEMA.names if name != "payload"]  # Which no feature reads.
_LOG_FILE = re.compile(r"^log-(\d+)_(\d+)-(\d+)_(\d+)-(\d+)\.parquet$")


def day_of(event: Event) -> str:
    """The history day of an event, UTC: `YYYY-MM-DD`."""
    return utc(event.known_at_us).strftime("%Y-%m-%d")


def log_file_name(first: LogPosition, last: LogPosition) -> str:
    """The name of the file that holds a range of one partition, both ends included."""
    return f"log-{first.partition}_{first.stream_id}_{last.stream_id}.parquet"


@dataclass(frozen=True, slots=True)
class LogRange:
    """What the name of a log file says: a stretch of one partition, both ends included."""

    first: LogPosition
    last: LogPosition

    @classmethod
    def of(cls, path: Path) -> LogRange | None:
        """The range of a log file; None for other files (imports)."""
        match = _LOG_FILE.match(path.name)
        if match is None:
            return None
        partition, *numbers = map(int, match.groups())
        first_ms, first_counter, last_ms, last_counter = numbers
        return cls(
            LogPosition(partition, first_ms, first_counter),
            LogPosition(partition, last_ms, last_counter),
        )

    @property
    def partition(self) -> int:
        return self.first.partition


def last_archived(root: Path, partition: int) -> LogPosition | None:
    """The newest log position of a partition that history holds; None when it holds none."""
    return archived_positions(files(root)).get(partition)


def archived_positions(paths: Iterable[Path]) -> dict[int, LogPosition]:
    """The newest log position of each partition among history files, read off their names.

    All days are looked at, not only the newest: around midnight, collectors whose clocks
    differ may put a later position into the earlier day. A thousand days list in about 20 ms.
    """
    newest: dict[int, LogPosition] = {}
    for path in paths:
        held = LogRange.of(path)
        if held and held.last > newest.get(held.partition, start_of(held.partition)):
            newest[held.partition] = held.last
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
                "facts": None if line.facts is None else msgspec.structs.asdict(line.facts),
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


def rows_in(path: Path) -> int:
    """How many events a file holds, by its footer; 0 when it was merged into another meanwhile."""
    try:
        return int(pq.ParquetFile(path).metadata.num_rows)
    except FileNotFoundError:
        return 0


def events_of(table: pa.Table) -> Iterator[Event]:
    """The reverse of `table_of`, without positions."""
    for row in table.drop_columns(["log_partition", "log_ms", "log_counter"]).to_pylist():
        row["lines"] = tuple(map(_line, row["lines"] or ()))
        row["consent"] = tuple(row["consent"] or ())
        yield Event(**row)


def _line(row: dict[str, Any]) -> Line:
    facts = row["facts"]
    return Line(**row) if facts is None else Line(**row | {"facts": StatedFacts(**facts)})


def write_day_file(root: Path, day: str, name: str, table: pa.Table) -> Path:
    """Write one history file so that it appears whole or not at all; overwrites its equal."""
    return write_atomically(root / f"day={day}" / name, table)


def write_atomically(path: Path, table: pa.Table) -> Path:
    """Write a Parquet file beside its place, fsync it, and rename it there."""
    with appearing_whole(path) as aside:
        pq.write_table(table, aside, compression="zstd")
    return path


@contextmanager
def appearing_whole(path: Path) -> Iterator[Path]:
    """A path aside to write a file to; on leaving it is fsynced and renamed to its place.

    Nothing appears when the block raises. A leftover of a killed process starts with a dot,
    which every reader passes over.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        yield aside
        _sync(aside)
        aside.rename(path)
    finally:
        aside.unlink(missing_ok=True)
    _sync(path.parent)
    _sync(path.parent.parent)  # The folder of a new day is an entry there.


def _sync(path: Path) -> None:
    """Bring a file's bytes, or a folder's entries, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def files(root: Path) -> list[Path]:
    """Every history file, oldest day first, but none whose range lies within another's.

    Files being written (dot names) are not among them.
    """
    return sorted(without_contained(root.glob("day=*/[!.]*.parquet")))


def none_yet(root: Path) -> str:
    """What to tell a person whose history has no events, and how to bring some."""
    return say(
        f"{root} holds no events yet: `nearline import` or `nearline shop generate` brings some, "
        "or set NEARLINE_HOME to the folder that has them.",
        f"{root} 尚无事件：用 `nearline import` 或 `nearline shop generate` 导入，"
        "或把 NEARLINE_HOME 设为已有数据的目录。",
    )


def without_contained(paths: Iterable[Path]) -> list[Path]:
    """The files, less the log files whose range lies within another's of the same day."""
    kept: list[Path] = []
    by_owner: dict[tuple[Path, int], list[tuple[LogRange, Path]]] = {}
    for path in paths:
        held = LogRange.of(path)
        if held is None:
            kept.append(path)
        else:
            by_owner.setdefault((path.parent, held.partition), []).append((held, path))
    for ranges in by_owner.values():
        # First ends ascending, and of equal ones the longest first: what lies within another
        # file then ends no later than something before it.
        ranges.sort(key=lambda pair: (pair[0].first, -pair[0].last.ms, -pair[0].last.counter))
        reached: LogPosition | None = None
        for held, path in ranges:
            if reached is None or held.last > reached:
                kept.append(path)
                reached = held.last
    return kept


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The history as it stood at one moment: its files, and how far they reach on the log."""

    files: tuple[Path, ...]
    positions: Mapping[int, LogPosition]


def snapshot(root: Path) -> Snapshot:
    """The history as it stands now. Reading it later gives the same events (`read_days`)."""
    held = tuple(files(root))
    return Snapshot(held, archived_positions(held))


def read_days(
    root: Path, at: Snapshot | None = None, columns: Sequence[str] = SCHEMA.names
) -> Iterator[tuple[str, pa.Table]]:
    """Each day's events in the order in which they became known, oldest day first.

    The order within a day is `known_at_us`, then log position, then event id: the order in
    which the stream saw them. Exactly the events of the snapshot (by default: of now), each
    once, even while the history grows and its files are merged. `columns` names what is wanted
    of them; the payload is by far the widest.
    """
    held = at or snapshot(root)
    by_day: dict[str, list[Path]] = {}
    for path in held.files:
        by_day.setdefault(path.parent.name.removeprefix("day="), []).append(path)
    order = [(name, "ascending") for name in _ORDER]
    needed = [name for name in SCHEMA.names if name in {*columns, *_ORDER}]
    schema = pa.schema([SCHEMA.field(name) for name in needed])
    for day in sorted(by_day):
        # Each by itself: files of an earlier version lack what lines have gained since.
        tables = [t.cast(schema) for t in _read_each(by_day[day], held.positions, needed)]
        table = pa.concat_tables(tables).sort_by(order)
        yield day, table.select(columns)


def _read_each(
    paths: Iterable[Path], limits: Mapping[int, LogPosition], columns: Sequence[str]
) -> Iterator[pa.Table]:
    """The tables of one day's files, each row once and none beyond the limits."""
    ranges = {path: LogRange.of(path) for path in paths}
    floors: dict[int, LogPosition] = {}
    for path, held in sorted(ranges.items(), key=lambda pair: (pair[1] is not None, *_ends(pair))):
        if held is None:
            yield pq.ParquetFile(path).read(columns)
            continue
        floor = floors.get(held.partition)
        if floor and held.last <= floor:
            continue
        table, found = _read_or_successor(path, held, columns)
        floors[held.partition] = found.last
        yield between(table, found, floor, limits[held.partition])


def _ends(pair: tuple[Path, LogRange | None]) -> tuple[object, ...]:
    path, held = pair
    return (held.first, held.last) if held else (path.name,)


def _read_or_successor(
    path: Path, held: LogRange, columns: Sequence[str]
) -> tuple[pa.Table, LogRange]:
    """The file, or the one that it was merged into after we had listed it."""
    for _ in range(_MERGED_MEANWHILE):
        try:
            return pq.ParquetFile(path).read(columns), held
        except FileNotFoundError:
            for other in path.parent.glob(f"log-{held.partition}_*.parquet"):
                wider = LogRange.of(other)
                if wider and wider.first <= held.first and held.last <= wider.last:
                    path, held = other, wider
    raise PermanentError(
        f"{path} vanished while it was read, and no file of its day covers its range: "
        "somebody removed history by hand. Restore it, or read again to go on without it."
    )


def between(
    table: pa.Table, held: LogRange, after: LogPosition | None, upto: LogPosition
) -> pa.Table:
    """The rows of one log file with positions in (after, upto]; costs nothing if that is all."""
    ms, counter = table["log_ms"], table["log_counter"]
    if after and after >= held.first:
        later = pc.and_(pc.equal(ms, after.ms), pc.greater(counter, after.counter))
        table = table.filter(pc.or_(pc.greater(ms, after.ms), later))
        ms, counter = table["log_ms"], table["log_counter"]
    if upto < held.last:
        same = pc.and_(pc.equal(ms, upto.ms), pc.less_equal(counter, upto.counter))
        table = table.filter(pc.or_(pc.less(ms, upto.ms), same))
    return table


def positions_of(table: pa.Table) -> Iterator[LogPosition | None]:
    """Where each row lay on the log, in step with `events_of`; None for imported rows."""
    columns = (table[name].to_pylist() for name in ("log_partition", "log_ms", "log_counter"))
    for partition, ms, counter in zip(*columns, strict=True):
        yield None if partition is None else LogPosition(partition, ms, counter)


_MERGED_MEANWHILE = 5
_ORDER = ("known_at_us", "log_partition", "log_ms", "log_counter", "event_id")
