"""Served feature vectors at rest: from their stream to Parquet, and back.

`archive` may be killed at any moment: a record leaves the stream only after the file that holds
it lies on disk. Killed in between, it is written again at the next turn, and `read` gives each
answer once. Whoever reads archives first, so nothing depends on a process that runs for ever.
"""

from __future__ import annotations

import logging
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import redis

from nearline import keys
from nearline.clock import utc
from nearline.history import appearing_whole
from nearline.served import FIELD, Served, decode

PAGE = 500  # Records in memory at once, and most in one file: a few MB.
_STRINGS = pa.list_(pa.string())
SCHEMA = pa.schema(
    [
        ("response_id", pa.string()),
        ("customer_id", pa.string()),  # A column, so that a customer's rows can be found.
        ("as_of_us", pa.int64()),
        ("bundle", pa.string()),
        ("features_hash", pa.string()),
        ("customer_position", pa.string()),
        ("excluded", _STRINGS),
        ("item_ids", _STRINGS),
        ("categories", _STRINGS),
        ("item_positions", pa.list_(_STRINGS)),
        ("rows", pa.large_binary()),
    ]
)

_logger = logging.getLogger(__name__)


def archive(client: redis.Redis, root: Path, tend: Callable[[], object] = lambda: None) -> int:
    """Move what waits on the stream into files under `root`; return how many records.

    Calls `tend` after each page, for whoever must not be silent for seconds. Raises
    redis.RedisError or OSError; calling again later is safe.
    """
    moved = 0
    while True:
        page: Any = client.xrange(keys.SERVED, count=PAGE)
        if not page:
            return moved
        records = []
        for place, fields in page:
            try:
                records.append(decode(fields[FIELD]))
            except (ValueError, KeyError):
                _logger.warning("the served record at %s cannot be decoded: left out", place)
        by_day: dict[str, list[Served]] = {}
        for record in records:
            by_day.setdefault(f"{utc(record.as_of_us):%Y-%m-%d}", []).append(record)
        first, last = page[0][0].decode(), page[-1][0].decode()
        for day, held in by_day.items():
            write(root / f"day={day}" / f"served-{first}_{last}.parquet", held)
        client.xdel(keys.SERVED, *(place for place, _ in page))
        moved += len(records)
        tend()


def write(path: Path, records: list[Served]) -> Path:
    """One file, readable by its owner alone, whole or not at all."""
    table = pa.table(
        {
            name: pa.array([_plain(getattr(record, name)) for record in records], type_)
            for name, type_ in zip(SCHEMA.names, SCHEMA.types, strict=True)
        },
        schema=SCHEMA,
    )
    with appearing_whole(path) as aside:
        aside.touch(mode=0o600)
        pq.write_table(table, aside, compression="zstd")
    return path


def read(root: Path, after_us: int = -1, until_us: int | None = None) -> Iterator[Served]:
    """Records of instants in (after_us, until_us], oldest day first, each answer once."""
    seen: set[str] = set()
    for path in sorted(root.glob("day=*/[!.]*.parquet")):
        day = path.parent.name.removeprefix("day=")
        if day < f"{utc(max(after_us, 0)):%Y-%m-%d}":
            continue
        if until_us is not None and day > f"{utc(until_us):%Y-%m-%d}":
            continue
        for batch in pq.ParquetFile(path).iter_batches(batch_size=100):
            for row in batch.to_pylist():
                in_time = after_us < row["as_of_us"] and (
                    until_us is None or row["as_of_us"] <= until_us
                )
                if in_time and row["response_id"] not in seen:
                    seen.add(row["response_id"])
                    yield _record(row)


def prune(root: Path, before_us: int) -> int:
    """Remove the days that ended before an instant; return how many. They hold personal data."""
    old = [
        folder
        for folder in root.glob("day=*")
        if folder.name.removeprefix("day=") < f"{utc(max(before_us, 0)):%Y-%m-%d}"
    ]
    for folder in old:
        shutil.rmtree(folder)
    return len(old)


def _record(row: dict[str, Any]) -> Served:
    for name in ("excluded", "item_ids", "categories"):
        row[name] = tuple(row[name] or ())
    row["item_positions"] = tuple(tuple(one or ()) for one in row["item_positions"] or ())
    return Served(**row)


def _plain(value: Any) -> Any:
    return [_plain(one) for one in value] if isinstance(value, tuple) else value
