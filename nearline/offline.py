"""The feature store's past: one Parquet row for each change of an entity's state.

The rows are folded from history by the same functions as the stream's, so the newest row of
an entity up to an instant *is* what the online store held at that instant. Feast's offline
store joins them point in time; `feature_repo.retrieval` finishes the windows.

Each view is one file, written aside, fsynced and renamed: a reader that has opened it keeps
the old one whole, and the next reader opens the new one whole. The file remembers which
history files it was made from, so that a snapshot of unchanged history costs nothing, and one
of history that grew folds only what changed: rows known before the first new event are copied,
the states that they end with are read off them, and from that instant on all is folded again.
An event that arrives late, or history that was imported afterwards, only moves that instant.
"""

from __future__ import annotations

import fcntl
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Generic

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from nearline.clock import utc
from nearline.contracts.event import Event
from nearline.errors import PermanentError
from nearline.feast_layout import CUSTOMER_VIEW, ITEM_VIEW
from nearline.history import LEAN, events_of, files, read_days, rows_in
from nearline.history import Snapshot as History
from nearline.history import snapshot as history_now
from nearline.history_growth import Growth, growth, name_of
from nearline.offline_rows import (
    CREATED_TIMESTAMP,
    EVENT_TIMESTAMP,
    ROW_NUMBER,
    Change,
    Rows,
    State,
    schema_of,
    source_path,
)
from nearline.transforms import customer, item
from nearline.transforms.columns import (
    customer_columns,
    customer_state,
    item_columns,
    item_state,
)
from nearline.transforms.customer import CustomerState

LAYOUT_VERSION = 4  # Raised whenever the rows' meaning changes, so that old snapshots are redone.
_EVENTS_AT_ONCE = 10_000
_LOCK = ".lock"
_FINGERPRINT, _FILES, EVENTS = b"nearline.history", b"nearline.files", b"nearline.events"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a snapshot holds, and how many events were folded for it.

    `unchanged` says that history was the same and nothing was done.
    """

    events: int
    customer_rows: int
    item_rows: int
    size_bytes: int
    unchanged: bool = False
    folded: int = 0


class NoSnapshot(PermanentError):
    """The offline features were never computed for this home folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        super().__init__(
            f"there are no offline features at {path}: compute them from history with "
            "`nearline features snapshot`"
        )


class Fold(Generic[State]):
    """Every entity's state so far, and what an instant's events change in it.

    `states_of` gives what one event adds to each entity that it touches.
    """

    def __init__(
        self,
        states_of: Callable[[Event], Mapping[str, State]],
        held: Mapping[str, State] | None = None,
    ) -> None:
        self._states_of: Callable[[Event], Mapping[str, State]] = states_of
        self._held: dict[str, State] = dict(held or {})

    def changes(self, events: Iterable[Event]) -> list[Change[State]]:
        """Fold events that became known at one instant; one change for each entity touched."""
        known_at_us = 0
        touched: set[str] = set()
        for event in events:
            known_at_us = event.known_at_us
            for entity_id, state in self._states_of(event).items():
                before = self._held.get(entity_id)
                self._held[entity_id] = before + state if before else state
                touched.add(entity_id)
        return [Change(name, known_at_us, self._held[name]) for name in sorted(touched)]


def customer_states(event: Event) -> Mapping[str, CustomerState]:
    """What an event adds to its customer; nothing where it says nothing of them."""
    state = customer.state_of(event)
    return {event.customer_id: state} if state != customer.EMPTY else {}


def snapshot(
    history: Path,
    offline: Path,
    progress: Callable[[int], object] = lambda events: None,
    at: History | None = None,
) -> Snapshot:
    """Bring the rows of both views up to date with history; return what they hold.

    History is read as it stood `at` a snapshot of it, by default as it stands now; whoever reads
    it for something else too gives the same one to both. The rows are those of a fold from the
    beginning, however often it was brought up to date. Calls `progress` with the number of events
    folded since the last call. Takes memory for the newest state of each entity and for 20,000
    rows of each view, however long history is. May be killed at any moment: the files that were
    there stay, and the next one starts there. Two at once wait for each other.
    """
    with alone(offline):
        return _snapshot(history, offline, progress, at or history_now(history))


@contextmanager
def alone(offline: Path) -> Iterator[None]:
    """Write the rows while nobody else does; waits for whoever writes now.

    Each view is replaced whole, and only this keeps the two of one history.
    """
    offline.mkdir(parents=True, exist_ok=True)
    with (offline / _LOCK).open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)  # The kernel drops it when we end, kill -9 included.
        yield


def _snapshot(
    history: Path, offline: Path, progress: Callable[[int], object], now: History
) -> Snapshot:
    held = current(offline)
    if held and is_of(offline, now):
        return held
    known = origin(now)
    gained = _growth(offline, now) if held else None
    since_us = gained.from_us if gained else 0
    with (
        Rows(offline, CUSTOMER_VIEW, customer_columns, known) as customers,
        Rows(offline, ITEM_VIEW, item_columns, known) as items,
    ):
        of_customers, of_items = Fold(customer_states), Fold(item.states_of)
        if since_us != 0:
            who, what = _touched(history, now, since_us)
            held_customers = {k: customer_state(row) for k, row in customers.keep(since_us, who)}
            of_customers = Fold(customer_states, held_customers)
            held_items = {key: item_state(row) for key, row in items.keep(since_us, what)}
            of_items = Fold(item.states_of, held_items)
        folded = 0
        for batch in _batches(history, now, since_us):
            for _, instant in groupby(batch, key=attrgetter("known_at_us")):
                events_then = list(instant)
                customers.extend(of_customers.changes(events_then))
                items.extend(of_items.changes(events_then))
            folded += len(batch)
            progress(len(batch))
        events = held.events + gained.events if held and gained else folded
        customers.seal({EVENTS: b"%d" % events})
        items.seal({EVENTS: b"%d" % events})
    return Snapshot(events, customers.written, items.written, _size(offline), folded=folded)


def current(offline: Path) -> Snapshot | None:
    """The snapshot that lies there, None where there is none."""
    paths = _paths(offline)
    if not all(path.is_file() for path in paths):
        return None
    rows = [pq.ParquetFile(path).metadata.num_rows for path in paths]
    events = int(_metadata(paths[0]).get(EVENTS, b"0"))
    return Snapshot(events, rows[0], rows[1], _size(offline), unchanged=True)


def events_in(history: Path) -> int:
    """How many events history holds; reads only the files' footers."""
    return sum(map(rows_in, files(history)))


def fingerprint(at: History) -> str:
    """A digest that changes when history gains a file. Its files never change (see `history`)."""
    return _digest(at.files)


def is_of(offline: Path, now: History) -> bool:
    """Whether the rows of both views were made from exactly this history."""
    wanted = fingerprint(now).encode()
    return all(_metadata(path).get(_FINGERPRINT) == wanted for path in _paths(offline))


def origin(now: History) -> dict[bytes, bytes]:
    """What a file of rows says of the history that it was made from; add `EVENTS`, how many."""
    names = "\n".join(map(name_of, now.files))
    return {_FINGERPRINT: fingerprint(now).encode(), _FILES: names.encode()}


def _digest(held: Sequence[Path]) -> str:
    text = "\n".join([f"layout {LAYOUT_VERSION}", *map(name_of, held)])
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _growth(offline: Path, now: History) -> Growth | None:
    """What history gained since the rows were written; None where all must be folded again."""
    said = [_metadata(path) for path in _paths(offline)]
    names = said[0].get(_FILES)
    whole = said[0].get(_FINGERPRINT) == said[1].get(_FINGERPRINT)  # Nobody killed in between.
    if names is None or not whole:
        return None
    read = [Path(name) for name in names.decode().split("\n") if name]
    if _digest(read).encode() != said[0][_FINGERPRINT]:
        return None  # Rows of another layout.
    return growth([name_of(path) for path in read], now.files)


def _since(history: Path, now: History, since_us: int | None) -> Iterator[pa.Table]:
    """The events known from an instant on, day by day; none where there is no instant."""
    if since_us is None:
        return
    day = f"day={utc(since_us):%Y-%m-%d}"
    tail = tuple(path for path in now.files if path.parent.name >= day)
    for _, lean in read_days(history, History(tail, now.positions), LEAN):
        yield lean.filter(pc.greater_equal(lean["known_at_us"], since_us)) if since_us else lean


def _touched(history: Path, now: History, since_us: int | None) -> tuple[set[str], set[str]]:
    """Customers and items of the events known from an instant on."""
    customers: set[str] = set()
    items: set[str] = set()
    for table in _since(history, now, since_us):
        customers.update(table["customer_id"].unique().to_pylist())
        lines = pc.list_flatten(table["lines"])
        items.update(pc.struct_field(lines, "item_id").unique().to_pylist())
    return customers, items


def _batches(history: Path, now: History, since_us: int | None) -> Iterator[list[Event]]:
    """Events in the order in which they became known; no instant is split between batches."""
    carried: list[Event] = []
    for table in _since(history, now, since_us):
        for start in range(0, table.num_rows, _EVENTS_AT_ONCE):
            events = carried + list(events_of(table.slice(start, _EVENTS_AT_ONCE)))
            last_us = events[-1].known_at_us
            whole = len(events)
            while whole and events[whole - 1].known_at_us == last_us:
                whole -= 1
            carried = events[whole:]
            if whole:
                yield events[:whole]
    if carried:
        yield carried


def _metadata(path: Path) -> dict[bytes, bytes]:
    return pq.ParquetFile(path).metadata.metadata or {}


def _size(offline: Path) -> int:
    return sum(path.stat().st_size for path in _paths(offline))


def _paths(offline: Path) -> list[Path]:
    return [source_path(offline, layout.view) for layout in (CUSTOMER_VIEW, ITEM_VIEW)]


__all__ = [
    "CREATED_TIMESTAMP",
    "EVENT_TIMESTAMP",
    "ROW_NUMBER",
    "Change",
    "Fold",
    "NoSnapshot",
    "Snapshot",
    "current",
    "events_in",
    "fingerprint",
    "schema_of",
    "snapshot",
    "source_path",
]
