"""Work on what others made, in a process of its own: a file that kills it kills nobody else."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

_MOST_WORDS = 300


class Ended(Exception):
    """The process did not do its work; `why` is its last line, or what ended it."""

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(why)


def run(module: str, words: Sequence[str], limit_s: float) -> str:
    """What `python -m module` writes to its standard output; raises Ended where it fails.

    A module that refuses writes why, in one line, to its standard error and exits with 1.
    """
    try:
        done = subprocess.run(  # noqa: S603 - our own words, no shell
            [sys.executable, "-m", module, *words],
            capture_output=True,
            text=True,
            timeout=limit_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise Ended(f"it took more than {limit_s:.0f} s to try it") from None
    if done.returncode < 0:
        raise Ended(f"reading it ended the process that tried it (signal {-done.returncode})")
    if done.returncode:
        raise Ended((done.stderr.strip().splitlines() or ["it says nothing"])[-1][:_MOST_WORDS])
    return done.stdout
