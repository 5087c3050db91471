"""The feature store's past: one Parquet row for each change of an entity's state.

The rows are folded from history by the same functions as the stream's, so the newest row of
an entity up to an instant *is* what the online store held at that instant. Feast's offline
store joins them point in time; `feature_repo.retrieval` finishes the windows.

Each view is one file, written aside, fsynced and renamed: a reader that has opened it keeps
the old one whole, and the next reader opens the new one whole. The file remembers which
history files it was made from, so that a snapshot of unchanged history costs nothing.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, groupby
from operator import attrgetter
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from nearline.contracts.event import Event
from nearline.errors import PermanentError
from nearline.feast_layout import CUSTOMER_VIEW, ITEM_VIEW, ViewLayout
from nearline.history import events_of, files, read_days, rows_in
from nearline.transforms import customer, item
from nearline.transforms.columns import Columns, ColumnType, customer_columns, item_columns
from nearline.transforms.customer import CustomerState
from nearline.transforms.item import ItemState

EVENT_TIMESTAMP = "event_timestamp"  # From when the row holds: known_at of its newest event.
CREATED_TIMESTAMP = "created_timestamp"  # From when it could be read; never after a join's instant.
ROW_NUMBER = "row_number"  # Unique in the file, in the order in which the rows became known.
LAYOUT_VERSION = 1  # Raised whenever the rows' meaning changes, so that old snapshots are redone.
_ROWS_AT_ONCE = 20_000  # Of one view in memory, and in one row group.
_EVENTS_AT_ONCE = 10_000
_FINGERPRINT = b"nearline.history"
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


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a snapshot holds. `unchanged` says that history was the same and nothing was done."""

    events: int
    customer_rows: int
    item_rows: int
    size_bytes: int
    unchanged: bool = False


class NoSnapshot(PermanentError):
    """The offline features were never computed for this home folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        super().__init__(
            f"there are no offline features at {path}: compute them from history with "
            "`nearline features snapshot`"
        )


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


class Folding:
    """Every entity's state so far, and what an instant's events change in it."""

    def __init__(self) -> None:
        self._customers: dict[str, CustomerState] = {}
        self._items: dict[str, ItemState] = {}

    def changes(
        self, events: Iterable[Event]
    ) -> tuple[list[Change[CustomerState]], list[Change[ItemState]]]:
        """Fold events that became known at one instant; one change for each entity touched."""
        known_at_us = 0
        customers: set[str] = set()
        items: set[str] = set()
        for event in events:
            known_at_us = event.known_at_us
            state = customer.state_of(event)
            if state != customer.EMPTY:
                held = self._customers.get(event.customer_id)
                self._customers[event.customer_id] = held + state if held else state
                customers.add(event.customer_id)
            for item_id, item_state in item.states_of(event).items():
                seen = self._items.get(item_id)
                self._items[item_id] = seen + item_state if seen else item_state
                items.add(item_id)
        return (
            [Change(name, known_at_us, self._customers[name]) for name in sorted(customers)],
            [Change(name, known_at_us, self._items[name]) for name in sorted(items)],
        )


def snapshot(
    history: Path, offline: Path, progress: Callable[[int], object] = lambda events: None
) -> Snapshot:
    """Write every state change that history holds, for both views; return what was written.

    Calls `progress` with the number of events folded since the last call. Takes memory for
    the newest state of each entity and for 20,000 rows of each view, however long history is.
    """
    wanted = fingerprint(history)
    held = current(offline)
    if held and all(
        _metadata(source_path(offline, layout.view)).get(_FINGERPRINT) == wanted
        for layout in (CUSTOMER_VIEW, ITEM_VIEW)
    ):
        return held
    folding, events = Folding(), 0
    with (
        _Rows(offline, CUSTOMER_VIEW, customer_columns, wanted) as customers,
        _Rows(offline, ITEM_VIEW, item_columns, wanted) as items,
    ):
        for batch in _batches(history):
            for _, instant in groupby(batch, key=attrgetter("known_at_us")):
                customer_changes, item_changes = folding.changes(instant)
                customers.extend(customer_changes)
                items.extend(item_changes)
            events += len(batch)
            progress(len(batch))
        customers.seal({b"nearline.events": b"%d" % events})
        items.seal({b"nearline.events": b"%d" % events})
    return Snapshot(events, customers.written, items.written, _size(offline))


def current(offline: Path) -> Snapshot | None:
    """The snapshot that lies there, None where there is none."""
    paths = [source_path(offline, layout.view) for layout in (CUSTOMER_VIEW, ITEM_VIEW)]
    if not all(path.is_file() for path in paths):
        return None
    rows = [pq.ParquetFile(path).metadata.num_rows for path in paths]
    events = int(_metadata(paths[0]).get(b"nearline.events", b"0"))
    return Snapshot(events, rows[0], rows[1], _size(offline), unchanged=True)


def events_in(history: Path) -> int:
    """How many events history holds; reads only the files' footers."""
    return sum(map(rows_in, files(history)))


def fingerprint(history: Path) -> bytes:
    """A digest that changes when history gains a file. Its files never change (see `history`)."""
    names = [f"{path.parent.name}/{path.name}" for path in files(history)]
    text = "\n".join([f"layout {LAYOUT_VERSION}", *names])
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest().encode()


def _batches(history: Path) -> Iterator[list[Event]]:
    """Events in the order in which they became known; no instant is split between batches."""
    carried: list[Event] = []
    for _, table in read_days(history):
        # The payload is by far the widest column, and no feature reads it.
        lean = table.drop_columns(["payload"])
        for start in range(0, lean.num_rows, _EVENTS_AT_ONCE):
            events = carried + list(events_of(lean.slice(start, _EVENTS_AT_ONCE)))
            last_us = events[-1].known_at_us
            whole = len(events)
            while whole and events[whole - 1].known_at_us == last_us:
                whole -= 1
            carried = events[whole:]
            if whole:
                yield events[:whole]
    if carried:
        yield carried


class _Rows(Generic[State]):
    """The file of one view: rows in, an atomically replaced Parquet file out."""

    def __init__(
        self,
        offline: Path,
        layout: ViewLayout,
        columns_of: Callable[[State], Columns],
        history_fingerprint: bytes,
    ) -> None:
        self.written = 0
        self._layout = layout
        self._columns_of: Callable[[State], Columns] = columns_of
        self._schema = schema_of(layout)
        self._path = source_path(offline, layout.view)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._aside = self._path.with_name(f".{self._path.name}.{secrets.token_hex(4)}.tmp")
        self._metadata = {_FINGERPRINT: history_fingerprint}
        self._writer = pq.ParquetWriter(self._aside, self._schema, compression="zstd")
        self._waiting: list[Change[State]] = []
        self._sealed = False

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

    def _flush(self) -> None:
        """Write what waits as one row group, by entity: neighbours are alike and pack well."""
        numbered = sorted(
            enumerate(self._waiting, start=self.written), key=lambda row: row[1].entity_id
        )
        self._waiting = []
        if not numbered:
            return
        self.written += len(numbered)
        known_at_us = pa.array([change.known_at_us for _, change in numbered], pa.int64())
        stamps = known_at_us.cast(pa.timestamp("us")).cast(pa.timestamp("us", tz="UTC"))
        rows: list[Columns] = [self._columns_of(change.state) for _, change in numbered]
        arrays = [
            pa.array([change.entity_id for _, change in numbered], pa.string()),
            stamps,
            stamps,
            pa.array([number for number, _ in numbered], pa.int64()),
            *(
                _array([row[name] for row in rows], type_)
                for name, type_ in self._layout.columns.items()
            ),
        ]
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=self._schema))

    def __enter__(self) -> _Rows[State]:
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


def _array(values: list[Any], type_: ColumnType) -> pa.Array:
    """A column of one row group; lists are laid end to end, which is far faster than nesting."""
    if type_ in ("int", "str"):
        return pa.array(values, _ARROW[type_])
    offsets = [0]
    for value in values:
        offsets.append(offsets[-1] + len(value))
    flat = pa.array(list(chain.from_iterable(values)), _ARROW[type_].value_type)
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), flat)


def _metadata(path: Path) -> dict[bytes, bytes]:
    return pq.ParquetFile(path).metadata.metadata or {}


def _size(offline: Path) -> int:
    return sum(
        source_path(offline, layout.view).stat().st_size for layout in (CUSTOMER_VIEW, ITEM_VIEW)
    )
