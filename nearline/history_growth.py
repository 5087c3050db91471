"""What history has gained since somebody read it: from which instant on it reads differently.

A reader remembers the names of the files that it read. Later names tell the rest, since files
never change: a file that is new holds new events (unless it is a merge of what was there), and
a file that is gone was merged, or somebody removed history by hand.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from nearline.history import LogRange

_POSITION = ("log_ms", "log_counter")


@dataclass(frozen=True, slots=True)
class Growth:
    """New events: how many, and from when on what was known differs. 0 events, no instant."""

    events: int
    from_us: int | None


def name_of(path: Path) -> str:
    """A history file's name with its day: `day=2026-11-21/log-0_1-0_9-0.parquet`."""
    return f"{path.parent.name}/{path.name}"


def growth(read: Collection[str], found: Iterable[Path]) -> Growth | None:
    """What the files `found` hold beyond the files named in `read`.

    None where that cannot be told: a file that was read is gone and no merged file covers it,
    or files are being merged at this moment. Whoever gets None reads everything again.
    """
    found = list(found)
    held = {name: LogRange.of(Path(name)) for name in read}
    gone = held.keys() - {name_of(path) for path in found}
    if not all(_covered(name, held[name], found) for name in gone):
        return None
    events, from_us = 0, None
    for path in found:
        if name_of(path) in held:
            continue
        day = f"{path.parent.name}/"
        own = [one for name, one in held.items() if one and name.startswith(day)]
        try:
            known_at_us = _new_in(path, own)
        except FileNotFoundError:
            return None
        if len(known_at_us):
            first_us = int(known_at_us.min())
            events += len(known_at_us)
            from_us = first_us if from_us is None else min(from_us, first_us)
    return Growth(events, from_us)


def _covered(name: str, held: LogRange | None, found: Iterable[Path]) -> bool:
    """Whether a log file of the same day holds the whole range of one that is gone."""
    if held is None:
        return False
    folder = name.partition("/")[0]
    others = (LogRange.of(path) for path in found if path.parent.name == folder)
    return any(
        one and one.partition == held.partition and one.first <= held.first <= held.last <= one.last
        for one in others
    )


def _new_in(path: Path, read: Iterable[LogRange]) -> npt.NDArray[np.int64]:
    """When the events of a file became known, less those in the ranges that were read."""
    mine = LogRange.of(path)
    if mine is None:
        table = pq.ParquetFile(path).read(columns=["known_at_us"])
        return np.asarray(table["known_at_us"].to_numpy(), np.int64)
    table = pq.ParquetFile(path).read(columns=["known_at_us", *_POSITION])
    ms, counter = (table[name].to_numpy() for name in _POSITION)
    new = np.ones(len(ms), bool)
    for one in read:
        if one.partition == mine.partition:
            after = (ms > one.first.ms) | ((ms == one.first.ms) & (counter >= one.first.counter))
            before = (ms < one.last.ms) | ((ms == one.last.ms) & (counter <= one.last.counter))
            new &= ~(after & before)
    return np.asarray(table["known_at_us"].to_numpy()[new], np.int64)
