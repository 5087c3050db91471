"""Closed days: many small files of a partition become one, whatever moment the power fails.

The merged file carries the union of its parts' ranges and appears whole; from then on readers
leave the parts out (their ranges lie within), so removing them may be interrupted anywhere.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from datetime import timedelta
from pathlib import Path

import pyarrow.parquet as pq

from nearline.clock import utc
from nearline.contracts.position import LogPosition
from nearline.history import (
    SCHEMA,
    LogRange,
    appearing_whole,
    between,
    log_file_name,
    without_contained,
)

CLOSES_AFTER = timedelta(hours=1)  # Events may be written this long after their day's midnight.
LEFTOVER_AGE_S = 86_400.0  # A file aside that old belongs to nobody alive.


def is_closed(day: str, now_us: int) -> bool:
    """Whether no more events of a day (`YYYY-MM-DD`, UTC) are expected."""
    return day < (utc(now_us) - CLOSES_AFTER).strftime("%Y-%m-%d")


def merge_closed_days(
    root: Path,
    now_us: int,
    partitions: Callable[[], Collection[int]],
) -> int:
    """Merge the log files of each closed day and partition; return how many parts went.

    `partitions` tells, before each merge, on which partitions this process may work.
    """
    merged = 0
    for folder in sorted(root.glob("day=*")):
        if not is_closed(folder.name.removeprefix("day="), now_us):
            continue
        for partition in sorted({held.partition for held in _ranges(folder).values()}):
            if partition in partitions():
                merged += merge_day(folder, partition)
        _remove_leftovers(folder)
    return merged


def merge_day(folder: Path, partition: int) -> int:
    """Merge one partition's log files of one day; return how many files were removed."""
    ranges = {path: held for path, held in _ranges(folder).items() if held.partition == partition}
    parts = sorted(without_contained(ranges), key=lambda path: ranges[path].first)
    if len(ranges) < 2:
        return 0
    whole = folder / log_file_name(ranges[parts[0]].first, ranges[parts[-1]].last)
    if whole not in ranges:
        _merge({path: ranges[path] for path in parts}, whole)
    removed = 0
    for path in ranges.keys() - {whole}:
        path.unlink(missing_ok=True)
        removed += 1
    return removed


def _merge(parts: dict[Path, LogRange], whole: Path) -> None:
    """Write the rows of the parts, in order and each once, holding one part in memory."""
    reached: LogPosition | None = None
    with (
        appearing_whole(whole) as aside,
        pq.ParquetWriter(aside, SCHEMA, compression="zstd") as writer,
    ):
        for path, held in parts.items():
            table = pq.ParquetFile(path).read().cast(SCHEMA)
            writer.write_table(between(table, held, reached, held.last))
            reached = held.last


def _ranges(folder: Path) -> dict[Path, LogRange]:
    found = {path: LogRange.of(path) for path in folder.glob("log-*.parquet")}
    return {path: held for path, held in found.items() if held is not None}


def _remove_leftovers(folder: Path) -> None:
    for path in folder.glob(".*.tmp"):
        if time.time() - path.stat().st_mtime > LEFTOVER_AGE_S:
            path.unlink(missing_ok=True)
