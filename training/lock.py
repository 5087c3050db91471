"""One training at a time in a home folder.

The kernel holds the lock for a process and drops it when the process ends, kill -9 included:
there is no stale lock to take over. What the file says is for people only.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from nearline.errors import TransientError

TRAINING, SCHEDULE = "training.lock", "schedule.lock"
_ATTEMPTS, _PAUSE_S = 10, 0.02


class Busy(TransientError):
    """Somebody else holds the lock; `holder` is what they wrote about themselves."""

    def __init__(self, path: Path, holder: str) -> None:
        self.path, self.holder = path, holder
        super().__init__(
            f"{holder or 'another process'} is at work in {path.parent}, and two at once would "
            "take each other's checkpoints. Wait for it (`nearline retrain --status` shows it), "
            "or stop it; it goes on where it was when it is started again on the same history."
        )


@contextmanager
def held(home: Path, name: str, what: str) -> Iterator[None]:
    """Hold a lock of a home folder for the length of the block; raises Busy.

    Not before a fifth of a second, in ten tries: `is_held` takes it for an instant.
    `what` says who we are, such as `nearline train`.
    """
    home.mkdir(parents=True, exist_ok=True)
    path = home / name
    with path.open("a+b") as handle:
        for _ in range(_ATTEMPTS):
            if _taken(handle):
                break
            time.sleep(_PAUSE_S)
        else:
            handle.seek(0)
            raise Busy(path, handle.read(200).decode(errors="replace").strip())
        handle.truncate(0)
        handle.write(f"{what} (process {os.getpid()})\n".encode())
        handle.flush()
        yield
        handle.truncate(0)


def _taken(handle: IO[bytes]) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_held(home: Path, name: str) -> bool:
    """Whether anybody holds a lock now."""
    try:
        with (home / name).open("rb") as handle:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False
