"""Rows of a log file, in order, a bounded number at a time: CSV, JSONL (both also .gz), Parquet.

A row that cannot be read is told as such and never ends the reading. Rows are numbered from
1; a CSV's header and blank lines do not count. `start` skips rows without converting them.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import IO, Any, NamedTuple

import msgspec

from ingestion.connectors.mapping import Mapping
from nearline.errors import PermanentError

_LONGEST_LINE = 1 << 20
SUFFIXES = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".jsonl", ".jsonl.gz", ".parquet")


class Row(NamedTuple):
    """One row: values in the order of `mapping.columns`, or why it cannot be read.

    `raw` is what the report of refused rows shows of it.
    """

    number: int
    values: tuple[Any, ...] | None
    raw: Any
    problem: str = ""


class Micros(int):
    """An instant in UTC microseconds that the file itself is sure of."""


class Source(NamedTuple):
    """An open file. `position` tells how much of `size` has been read (bytes or rows)."""

    rows: Iterator[Row]
    size: int
    position: Callable[[], int]
    close: Callable[[], None]


class ColumnsMissing(PermanentError):
    """The mapping names columns that the file does not have."""

    def __init__(self, missing: list[str], held: list[str]) -> None:
        self.missing, self.held = missing, held
        super().__init__(
            f"the file has no column {', '.join(map(repr, missing))}, which the mapping names. "
            f"Its columns are: {', '.join(map(repr, held[:50]))}"
        )


def open_rows(path: Path, mapping: Mapping, start: int = 1) -> Source:
    """Open a log at a row; raises PermanentError for a file of another kind or other columns."""
    name = path.name.lower().removesuffix(".gz")
    if name.endswith((".csv", ".tsv")):
        return _csv(path, mapping, start, "\t" if name.endswith(".tsv") else mapping.separator)
    if name.endswith((".jsonl", ".ndjson")):
        return _jsonl(path, mapping, start)
    if name.endswith(".parquet"):
        return _parquet(path, mapping, start)
    raise PermanentError(f"{path.name} is of no kind known here; expected {', '.join(SUFFIXES)}")


def chunks(rows: Iterator[Row], size: int) -> Iterator[list[Row]]:
    """Rows in lists of `size`, the last one shorter."""
    while chunk := list(islice(rows, size)):
        yield chunk


def _csv(path: Path, mapping: Mapping, start: int, separator: str) -> Source:
    data = _Bytes(path)
    # What is not UTF-8 becomes visible in the value, and that row alone is refused.
    text = io.TextIOWrapper(data.stream, encoding="utf-8-sig", errors="surrogateescape", newline="")
    reader = csv.reader(text, delimiter=separator)

    def close() -> None:
        text.close()
        data.close()

    try:
        header = next(reader, [])
        places = _places(list(mapping.columns.values()), header)
    except (PermanentError, OSError, EOFError, csv.Error) as error:
        close()
        raise error if isinstance(error, PermanentError) else _not_whole(path, error) from error

    def rows() -> Iterator[Row]:
        number = 0
        while True:
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                number += 1
                if number >= start:
                    yield Row(number, None, str(error), "unreadable_row")
                continue
            if not cells:
                continue
            number += 1
            if number < start:
                continue
            if len(cells) != len(header):
                yield Row(number, None, cells, "wrong_number_of_columns")
            else:
                yield Row(number, tuple([cells[place] for place in places]), cells)

    return Source(_read(path, rows()), data.size, data.position, close)


def _jsonl(path: Path, mapping: Mapping, start: int) -> Source:
    data = _Bytes(path)
    stream = data.stream
    columns = list(mapping.columns.values())
    decode = msgspec.json.Decoder(dict[str, Any]).decode

    def rows() -> Iterator[Row]:
        number = 0
        while line := stream.readline(_LONGEST_LINE):
            cut = len(line) == _LONGEST_LINE and not line.endswith(b"\n")
            while cut and (rest := stream.readline(_LONGEST_LINE)) and not rest.endswith(b"\n"):
                pass
            if line.isspace():
                continue
            number += 1
            if number < start:
                continue
            raw = line[:2_000].decode("utf-8", "backslashreplace").rstrip("\r\n")
            try:
                if cut:
                    raise ValueError("longer than a line may be")
                held = decode(line)
            except (msgspec.MsgspecError, ValueError, RecursionError):
                yield Row(number, None, raw, "unreadable_row")
            else:
                yield Row(number, tuple([held.get(column) for column in columns]), raw)

    return Source(_read(path, rows()), data.size, data.position, data.close)


def _parquet(path: Path, mapping: Mapping, start: int) -> Source:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
    except pa.ArrowInvalid as error:
        raise PermanentError(f"{path.name} is no whole Parquet file ({error})") from None
    columns = list(mapping.columns.values())
    _places(columns, file.schema_arrow.names)
    total = file.metadata.num_rows
    done = 0

    def rows() -> Iterator[Row]:
        nonlocal done
        groups = file.metadata.num_row_groups
        for group in range(groups):
            held = file.metadata.row_group(group).num_rows
            if done + held < start:
                done += held
                continue
            for batch in file.iter_batches(10_000, row_groups=[group], columns=columns):
                # By name: the file's order of columns is not the mapping's.
                lists = [_values(batch.column(column)) for column in columns]
                for values in zip(*lists, strict=True):
                    done += 1
                    if done >= start:
                        raw = dict(zip(columns, values, strict=True))
                        yield Row(done, values, raw)

    return Source(_read(path, rows()), total, lambda: done, file.close)


def _values(column: Any) -> list[Any]:
    """A column as Python values. Timestamps with a zone become Micros; others stay local.

    Not by `to_pylist` alone: for zoned timestamps that imports pandas and takes ten times as long.
    """
    import pyarrow as pa

    if not pa.types.is_timestamp(column.type):
        return column.to_pylist()  # type: ignore[no-any-return]
    zone = column.type.tz
    micros = column.cast(pa.timestamp("us", zone), safe=False)
    if zone is None:
        return micros.to_pylist()  # type: ignore[no-any-return]
    numbers = micros.cast(pa.int64()).to_pylist()
    return [None if number is None else Micros(number) for number in numbers]


def _read(path: Path, rows: Iterator[Row]) -> Iterator[Row]:
    try:
        yield from rows
    except (OSError, EOFError) as error:
        raise _not_whole(path, error) from error


def _not_whole(path: Path, error: Exception) -> PermanentError:
    return PermanentError(
        f"{path.name} cannot be read to its end ({type(error).__name__}: {error}). Is it whole? "
        "What was read is kept: mend the file and run the same command with --replace"
    )


class _Bytes:
    """A file's decompressed bytes, and how much of what lies on disk has been read."""

    def __init__(self, path: Path) -> None:
        self.size = path.stat().st_size
        self._disk = path.open("rb")
        zipped = path.name.lower().endswith(".gz")
        self.stream: IO[bytes] = (
            gzip.GzipFile(fileobj=self._disk) if zipped else self._disk  # type: ignore[assignment]
        )

    def position(self) -> int:
        return self._disk.tell()

    def close(self) -> None:
        self.stream.close()
        self._disk.close()  # GzipFile leaves it open.


def _places(columns: list[str], held: list[str]) -> list[int]:
    missing = [column for column in columns if column not in held]
    if missing:
        raise ColumnsMissing(missing, held)
    return [held.index(column) for column in columns]


def raw_line(row: Row, reason: str) -> bytes:
    """One line of the refused-rows file."""
    line = {"row": row.number, "reason": reason, "raw": row.raw}
    return json.dumps(line, default=str).encode() + b"\n"
