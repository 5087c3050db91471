"""Whether a folder is still as it was looked at, for a stat of each file."""

from __future__ import annotations

from pathlib import Path

Seen = tuple[tuple[str, int, int, int], ...]
"""Name, time of change in ns, bytes and inode of each file."""
_UNREADABLE: Seen = (("", 0, 0, 0),)


def seen(folder: Path) -> Seen:
    """What lies in the folder, as it is; nothing where there is none. Raises nothing.

    A file that is gone or may not be looked at has zeros; a folder that cannot be listed equals
    no other, so that whoever reads it finds out why.
    """
    try:
        return tuple(map(_seen, sorted(folder.iterdir())))
    except FileNotFoundError:
        return ()
    except OSError:
        return _UNREADABLE


def _seen(path: Path) -> tuple[str, int, int, int]:
    try:
        found = path.stat()
    except OSError:
        return path.name, 0, 0, 0
    return path.name, found.st_mtime_ns, found.st_size, found.st_ino
