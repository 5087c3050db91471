"""The offline rows of a long history, folded on many machines: the same rows as `offline.snapshot`.

Events are read by day, parted by entity, and each part is folded by the functions that fold on
one machine; states of different entities never meet. The rows are sorted by when they became
known, numbered, and written into the same files, which then say what they were made from.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from nearline import history, offline
from nearline.contracts.event import Event
from nearline.feast_layout import CUSTOMER_VIEW, ITEM_VIEW, ViewLayout
from nearline.offline import EVENT_TIMESTAMP, EVENTS, Fold, Snapshot, customer_states
from nearline.offline_rows import Rows, rows_of
from nearline.transforms import item
from nearline.transforms.columns import customer_columns, item_columns

_PART, _PLACE = "part", "place"  # Which part an event belongs to; its place in its day.
_ROWS_AT_ONCE = 20_000


def snapshot(root: Path, folder: Path, parts: int, at: history.Snapshot | None = None) -> Snapshot:
    """Bring the rows in `folder` up to date with the history in `root`, in so many parts.

    History is read as it stood `at` a snapshot, by default as it stands now. Needs a connection
    to Ray. Always folds from the beginning; does nothing where the rows are of this history
    already.
    """
    with offline.alone(folder):
        return _snapshot(root, folder, parts, at or history.snapshot(root))


def _snapshot(root: Path, folder: Path, parts: int, now: history.Snapshot) -> Snapshot:
    held = offline.current(folder)
    if held and offline.is_of(folder, now):
        return held
    known = offline.origin(now)
    events = 0
    with (
        Rows(folder, CUSTOMER_VIEW, customer_columns, known) as customers,
        Rows(folder, ITEM_VIEW, item_columns, known) as items,
    ):
        if now.files:
            events = _write(customers, root, now, CUSTOMER_VIEW, parts)
            _write(items, root, now, ITEM_VIEW, parts)
        customers.seal({EVENTS: b"%d" % events})
        items.seal({EVENTS: b"%d" % events})
    done = offline.current(folder)
    assert done is not None
    return Snapshot(events, done.customer_rows, done.item_rows, done.size_bytes, folded=events)


def part_of(entity_id: str, parts: int) -> int:
    """Which part an entity belongs to; equal on every machine."""
    return zlib.crc32(entity_id.encode()) % parts


def read_day(days: pa.Table, root: Path, now: history.Snapshot, view: str, parts: int) -> pa.Table:
    """The events of some days, once for each part that has to fold them."""
    found = []
    for day in days["day"].to_pylist():
        files = tuple(path for path in now.files if path.parent.name == day)
        then = history.Snapshot(files, now.positions)
        for _, lean in history.read_days(root, then, history.LEAN):
            lean = lean.append_column(_PLACE, pa.array(np.arange(lean.num_rows), pa.int64()))
            rows, marks = _parted(lean, view, parts)
            found.append(lean.take(rows).append_column(_PART, pa.array(marks, pa.int64())))
    return pa.concat_tables(found)


def fold_part(events: pa.Table, view: str, parts: int) -> pa.Table:
    """The rows of one part's entities; their numbers mean nothing yet."""
    part = events[_PART][0].as_py()
    ordered = events.sort_by([("known_at_us", "ascending"), (_PLACE, "ascending")])
    return _FOLDED[view](ordered.drop_columns([_PART, _PLACE]), part, parts)


def _parted(table: pa.Table, view: str, parts: int) -> tuple[list[int], list[int]]:
    rows: list[int] = []
    marks: list[int] = []
    if view == CUSTOMER_VIEW.view:
        named = [[name] for name in table["customer_id"].to_pylist()]
    else:
        named = [[line["item_id"] for line in lines or ()] for lines in table["lines"].to_pylist()]
    for row, names in enumerate(named):
        for part in sorted({part_of(name, parts) for name in names}):
            rows.append(row)
            marks.append(part)
    return rows, marks


def _folded_customers(events: pa.Table, part: int, parts: int) -> pa.Table:
    fold = Fold(customer_states)
    changes = [
        change
        for _, instant in groupby(history.events_of(events), key=attrgetter("known_at_us"))
        for change in fold.changes(instant)
    ]
    return rows_of(changes, CUSTOMER_VIEW, customer_columns)


def _folded_items(events: pa.Table, part: int, parts: int) -> pa.Table:
    def own(event: Event) -> Mapping[str, item.ItemState]:
        states = item.states_of(event)
        return {key: state for key, state in states.items() if part_of(key, parts) == part}

    fold = Fold(own)
    changes = [
        change
        for _, instant in groupby(history.events_of(events), key=attrgetter("known_at_us"))
        for change in fold.changes(instant)
    ]
    return rows_of(changes, ITEM_VIEW, item_columns)


_FOLDED: dict[str, Callable[[pa.Table, int, int], pa.Table]] = {
    CUSTOMER_VIEW.view: _folded_customers,
    ITEM_VIEW.view: _folded_items,
}


def _write(
    rows: Rows[Any], root: Path, now: history.Snapshot, layout: ViewLayout, parts: int
) -> int:
    """Fold on the cluster and write in order here; return how many events were read."""
    import ray.data

    read: Any = read_day  # Ray's types know no tables.
    days = sorted({path.parent.name for path in now.files})
    told = {"root": root, "now": now, "view": layout.view, "parts": parts}
    events = (
        ray.data.from_items([{"day": day} for day in days])
        .repartition(len(days))
        .map_batches(read, batch_size=1, batch_format="pyarrow", fn_kwargs=told)
        .materialize()
    )
    folded = events.groupby(_PART, num_partitions=parts).map_groups(
        fold_part,
        batch_format="pyarrow",
        fn_kwargs={"view": layout.view, "parts": parts},
    )
    ordered = folded.sort([EVENT_TIMESTAMP, layout.join_key])
    for batch in ordered.iter_batches(batch_size=_ROWS_AT_ONCE, batch_format="pyarrow"):
        rows.append(batch)
    return int(events.count())
