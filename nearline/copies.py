"""Local copies of bundles: one folder a version, held while somebody may load it.

A process holds the copies that it asked for last, by a shared lock on their folders; the
kernel drops such a lock with its process. Only a copy that nobody holds is ever removed, and
it is renamed before: others see it whole or not at all.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import shutil
import threading
import time
from collections.abc import Collection
from pathlib import Path

HELD = 4  # Copies that a process holds: what it serves, beside it, and before.
NEWEST = 3  # Copies that stay without a reason.
LEFTOVER_AGE_S = 86_400.0

_held: dict[Path, int] = {}  # folder -> its open descriptor, the one asked for last at the end
_guard = threading.Lock()


def hold(copy: Path) -> bool:
    """Hold a copy for this process, and let go of the oldest beyond `HELD`; False if it is gone."""
    try:
        handle = os.open(copy, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return False
    fcntl.flock(handle, fcntl.LOCK_SH)  # Waits only while somebody renames it.
    try:
        same = os.stat(copy).st_ino == os.fstat(handle).st_ino  # noqa: PTH116 - beside fstat
    except FileNotFoundError:
        same = False
    if not same:
        os.close(handle)
        return False
    with _guard:
        if copy in _held:
            os.close(_held.pop(copy))
        _held[copy] = handle
        while len(_held) > HELD:
            os.close(_held.pop(next(iter(_held))))
    return True


def remove(copy: Path) -> bool:
    """Remove a copy that nobody else holds, whole at once; False where somebody does."""
    with _guard:
        if copy in _held:
            os.close(_held.pop(copy))
    try:
        handle = os.open(copy, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        aside = copy.with_name(f".{copy.name}.{secrets.token_hex(4)}.tmp")
        copy.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)
    except (BlockingIOError, FileNotFoundError):
        return not copy.exists()
    finally:
        os.close(handle)
    return True


def prune(folder: Path, keep: Collection[str]) -> list[str]:
    """Remove copies but those named, the newest three and those held; return the versions gone."""
    versions = sorted(
        (path for path in folder.iterdir() if path.name.isdigit()),
        key=lambda path: int(path.name),
    )
    with _guard:
        own = set(_held)
    for path in folder.glob(".*.tmp"):  # What processes that were killed have left aside.
        if time.time() - path.stat().st_mtime > LEFTOVER_AGE_S:
            shutil.rmtree(path, ignore_errors=True)
    return [
        copy.name
        for copy in versions[:-NEWEST]
        if copy.name not in keep and copy not in own and remove(copy)
    ]
