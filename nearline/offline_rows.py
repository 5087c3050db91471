"""The file of one view's rows: written aside, then in its place whole, or not at all."""

from __future__ import annotations

import fcntl
import os
import secrets
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from nearline.feast_layout import ViewLayout
from nearline.transforms.columns import Columns, ColumnType
from nearline.transforms.customer import CustomerState
from nearline.transforms.item import ItemState

EVENT_TIMESTAMP = "event_timestamp"  # From when the row holds: known_at of its newest event.
CREATED_TIMESTAMP = "created_timestamp"  # From when it could be read; never after a join's instant.
ROW_NUMBER = "row_number"  # Unique in the file, in the order in which the rows became known.
_ROWS_AT_ONCE = 20_000  # Of one view in memory, and in one row group.
_ARROW: dict[ColumnType, pa.DataType] = {
    "int": pa.int64(),
    "str": pa.string(),
    "ints": pa.list_(pa.int64()),
    "strs": pa.list_(pa.string()),
}

State = TypeVar("State", CustomerState, ItemState)


@dataclass(frozen=True, slots=True)
class Change(Generic[State]):
    """An entity's state from an instant on; one for each (entity, known_at)."""

    entity_id: str
    known_at_us: int
    state: State


def source_path(offline: Path, view: str) -> Path:
    """The Parquet file of a view's rows: what its Feast source points at."""
    return offline / view / "rows.parquet"


def schema_of(layout: ViewLayout) -> pa.Schema:
    """The columns of a view's file."""
    stamp = pa.timestamp("us", tz="UTC")
    return pa.schema(
        [
            (layout.join_key, pa.string()),
            (EVENT_TIMESTAMP, stamp),
            (CREATED_TIMESTAMP, stamp),
            (ROW_NUMBER, pa.int64()),
            *((name, _ARROW[type_]) for name, type_ in layout.columns.items()),
        ]
    )


class Rows(Generic[State]):
    """The file of one view: rows in, an atomically replaced Parquet file out."""

    def __init__(
        self,
        offline: Path,
        layout: ViewLayout,
        columns_of: Callable[[State], Columns],
        metadata: Mapping[bytes, bytes],
    ) -> None:
        self.written = 0
        self._layout = layout
        self._columns_of: Callable[[State], Columns] = columns_of
        self._schema = schema_of(layout)
        self._path = source_path(offline, layout.view)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(self._path.parent)
        self._aside = self._path.with_name(f".{self._path.name}.{secrets.token_hex(4)}.tmp")
        self._metadata = dict(metadata)
        self._lock = _locked(self._aside)
        self._writer = pq.ParquetWriter(self._aside, self._schema, compression="zstd")
        self._waiting: list[Change[State]] = []
        self._sealed = False

    def keep(self, until_us: int | None, wanted: Collection[str]) -> Iterator[tuple[str, Any]]:
        """Copy the rows known before an instant (None: all) from the file that is there.

        Gives the newest of them of each entity wanted, as (entity_id, row). They come first
        in the file by row number, so numbering goes on behind them.
        """
        key = self._layout.join_key
        among = pa.array(list(wanted), pa.string())
        newest: list[pa.Table] = []
        small: list[pa.Table] = []
        with pq.ParquetFile(self._path) as held:
            for group in range(held.num_row_groups):
                rows = held.read_row_group(group)
                if until_us is not None:
                    known_at_us = rows[EVENT_TIMESTAMP].cast(pa.int64())
                    rows = rows.filter(pc.less(known_at_us, until_us))
                if not rows.num_rows:
                    continue
                touched = rows.filter(pc.is_in(rows[key], among))
                newest.append(_newest(touched, key))
                small.append(rows)
                self.written += rows.num_rows
                # Many short runs would leave many small row groups: they are put together.
                if sum(part.num_rows for part in small) >= _ROWS_AT_ONCE:
                    self._write_together(small)
                    small = []
        self._write_together(small)
        if newest:
            for row in _newest(pa.concat_tables(newest), key).to_pylist():
                yield row[key], row

    def _write_together(self, parts: Sequence[pa.Table]) -> None:
        if len(parts) == 1:
            self._writer.write_table(parts[0])
        elif parts:
            order = [(self._layout.join_key, "ascending"), (ROW_NUMBER, "ascending")]
            self._writer.write_table(pa.concat_tables(parts).sort_by(order))

    def extend(self, changes: Sequence[Change[State]]) -> None:
        self._waiting += changes
        if len(self._waiting) >= _ROWS_AT_ONCE:
            self._flush()

    def seal(self, metadata: Mapping[bytes, bytes]) -> None:
        """Finish the file; it takes its place when both views' files are finished."""
        self._flush()
        self._writer.add_key_value_metadata({**self._metadata, **metadata})
        self._writer.close()
        with self._aside.open("rb") as handle:
            os.fsync(handle.fileno())
        self._sealed = True

    def append(self, rows: pa.Table) -> None:
        """Write rows that somebody else has made, as `rows_of` makes them, in order of time."""
        numbers = pa.array(range(self.written, self.written + rows.num_rows), pa.int64())
        rows = rows.set_column(rows.schema.get_field_index(ROW_NUMBER), ROW_NUMBER, numbers)
        self._writer.write_table(
            rows.select(self._schema.names).cast(self._schema).sort_by(self._layout.join_key)
        )
        self.written += rows.num_rows

    def _flush(self) -> None:
        """Write what waits as one row group, by entity: neighbours are alike and pack well."""
        waiting, self._waiting = self._waiting, []
        if waiting:
            self._writer.write_table(rows_of(waiting, self._layout, self._columns_of, self.written))
            self.written += len(waiting)

    def __enter__(self) -> Rows[State]:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None and self._sealed:
                self._aside.replace(self._path)
        finally:
            self._writer.close()
            self._aside.unlink(missing_ok=True)
            os.close(self._lock)


def rows_of(
    changes: Sequence[Change[State]],
    layout: ViewLayout,
    columns_of: Callable[[State], Columns],
    first_number: int = 0,
) -> pa.Table:
    """Changes as rows of `schema_of`, numbered in the order given and sorted by entity."""
    numbered = sorted(enumerate(changes, start=first_number), key=lambda row: row[1].entity_id)
    known_at_us = pa.array([change.known_at_us for _, change in numbered], pa.int64())
    stamps = known_at_us.cast(pa.timestamp("us")).cast(pa.timestamp("us", tz="UTC"))
    columns: list[Columns] = [columns_of(change.state) for _, change in numbered]
    arrays = [
        pa.array([change.entity_id for _, change in numbered], pa.string()),
        stamps,
        stamps,
        pa.array([number for number, _ in numbered], pa.int64()),
        *(_array([row[name] for row in columns], type_) for name, type_ in layout.columns.items()),
    ]
    return pa.Table.from_arrays(arrays, schema=schema_of(layout))


def _newest(rows: pa.Table, key: str) -> pa.Table:
    """Of each entity the row with the highest number."""
    last = rows.group_by(key).aggregate([(ROW_NUMBER, "max")])[f"{ROW_NUMBER}_max"]
    return rows.filter(pc.is_in(rows[ROW_NUMBER], last.combine_chunks()))


def _locked(aside: Path) -> int:
    """A new file that is locked as long as we live: how a leftover is told from a neighbour's."""
    handle = os.open(aside, os.O_CREAT | os.O_RDWR | os.O_EXCL, 0o644)
    fcntl.flock(handle, fcntl.LOCK_EX)
    return handle


def _remove_leftovers(folder: Path) -> None:
    """Remove what writers that were killed have left aside."""
    for path in folder.glob(".*.tmp"):
        try:
            with path.open("rb") as handle:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                path.unlink(missing_ok=True)
        except (FileNotFoundError, BlockingIOError):
            continue  # Gone meanwhile, or somebody writes it.


def _array(values: list[Any], type_: ColumnType) -> pa.Array:
    """A column of one row group; lists are laid end to end, which is far faster than nesting."""
    if type_ in ("int", "str"):
        return pa.array(values, _ARROW[type_])
    offsets = [0]
    for value in values:
        offsets.append(offsets[-1] + len(value))
    flat = pa.array(list(chain.from_iterable(values)), _ARROW[type_].value_type)
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), flat)
