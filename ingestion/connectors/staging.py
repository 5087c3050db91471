"""What an import has done so far, on disk: chunks of rows, each there whole or not at all.

    staging/import-<name>/plan.json
                          chunk_<first row>_<last row>.parquet      accepted events, with `row`
                          chunk_<first row>_<last row>.refused.jsonl

A chunk's Parquet file is renamed into place last and carries the chunk's counts, so file
names are the position and a kill at any moment costs at most one chunk of work.
"""

from __future__ import annotations

import fcntl
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from ingestion.connectors.convert import Converter, RowRefused
from ingestion.connectors.rows import Row, raw_line
from nearline import history
from nearline.contracts.event import Event
from nearline.errors import TransientError

FIRST_ROWS = 5  # Row numbers shown for each reason.
SCHEMA = history.SCHEMA.append(pa.field("row", pa.int64()))
_META = b"nearline"
_CHUNK = re.compile(r"^chunk_(\d+)_(\d+)\.parquet$")


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What was decided when the import began, and so stays when it is resumed."""

    name: str
    fingerprint: str
    began_at_us: int
    shift_newest_to_us: int | None = None


class Reason(msgspec.Struct):
    """How many rows were refused for one reason, and the first of them."""

    count: int = 0
    first_rows: list[int] = []

    def add(self, row: int) -> None:
        self.count += 1
        if len(self.first_rows) < FIRST_ROWS:
            self.first_rows.append(row)

    def merge(self, later: Reason) -> None:
        self.count += later.count
        self.first_rows = (self.first_rows + later.first_rows)[:FIRST_ROWS]


class Counts(msgspec.Struct):
    """What became of rows; `received = accepted + ignored + refused`."""

    received: int = 0
    ignored: int = 0
    reasons: dict[str, Reason] = {}

    @property
    def refused(self) -> int:
        return sum(reason.count for reason in self.reasons.values())

    def add(self, later: Counts) -> None:
        self.received += later.received
        self.ignored += later.ignored
        for name, reason in later.reasons.items():
            self.reasons.setdefault(name, Reason()).merge(reason)


@dataclass(frozen=True, slots=True)
class Chunk:
    """One finished chunk; both row numbers are included."""

    path: Path
    first: int
    last: int

    @property
    def refused_path(self) -> Path:
        return self.path.with_suffix(".refused.jsonl")

    def counts(self) -> Counts:
        metadata = pq.read_schema(self.path).metadata
        return msgspec.json.decode(metadata[_META], type=Counts)


def read_plan(folder: Path) -> Plan | None:
    """The plan of an import that has staged a chunk; None of any other, which claims nothing."""
    if not finished_chunks(folder):
        return None
    try:
        return msgspec.json.decode((folder / "plan.json").read_bytes(), type=Plan)
    except FileNotFoundError:
        return None


def finished_chunks(folder: Path) -> list[Chunk]:
    """The chunks from row 1 on without a gap, in order."""
    found = [
        Chunk(path, int(match[1]), int(match[2]))
        for path in folder.glob("chunk_*.parquet")
        if (match := _CHUNK.match(path.name))
    ]
    found.sort(key=lambda chunk: chunk.first)
    row = 1
    chunks = []
    for chunk in found:
        if chunk.first == row:
            chunks.append(chunk)
            row = chunk.last + 1
    return chunks


def convert(rows: Sequence[Row], converter: Converter) -> tuple[pa.Table, bytes, Counts]:
    """Accepted events with their rows, the lines of the refused-rows file, and the counts."""
    events: list[Event] = []
    numbers: list[int] = []
    refused: list[bytes] = []
    counts = Counts(received=len(rows))
    for row in rows:
        try:
            event = converter(row)
        except RowRefused as why:
            counts.reasons.setdefault(why.reason, Reason()).add(row.number)
            refused.append(raw_line(row, why.reason))
            continue
        if event is None:
            counts.ignored += 1
        else:
            events.append(event)
            numbers.append(row.number)
    table = history.table_of(events).append_column(
        SCHEMA.field("row"), pa.array(numbers, pa.int64())
    )
    return table, b"".join(refused), counts


def write_chunk(folder: Path, rows: Sequence[Row], converter: Converter) -> Chunk:
    """Convert rows and put the chunk in its place."""
    table, refused, counts = convert(rows, converter)
    path = folder / f"chunk_{rows[0].number}_{rows[-1].number}.parquet"
    chunk = Chunk(path, rows[0].number, rows[-1].number)
    write_bytes(chunk.refused_path, refused)
    metadata = {_META: msgspec.json.encode(counts)}
    history.write_atomically(path, table.replace_schema_metadata(metadata))
    return chunk


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file, for its owner alone, so that it appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.tmp")
    with os.fdopen(os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as handle:
        handle.write(data)
        handle.flush()
        os.fsync(handle.fileno())
    aside.rename(path)


@contextmanager
def alone(path: Path, name: str) -> Iterator[None]:
    """Hold an import for this process; raises TransientError where another has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise TransientError(
                f"the import {name!r} is running in another process: wait until it has ended"
            ) from None
        yield
