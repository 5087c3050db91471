"""Whether files are still those that were looked at, for a stat of each."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

Seen = tuple[tuple[str, int, int, int], ...]
"""Name, time of change in ns, bytes and inode of each file."""


def seen(paths: Iterable[Path]) -> Seen:
    """The files as they are; one that is gone or may not be looked at has zeros."""
    return tuple(map(_seen, paths))


def _seen(path: Path) -> tuple[str, int, int, int]:
    try:
        found = path.stat()
    except OSError:
        return path.name, 0, 0, 0
    return path.name, found.st_mtime_ns, found.st_size, found.st_ino
