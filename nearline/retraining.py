"""What retraining leaves to read: each run with why, how long and the verdict, and the next.

One small file in the home folder, written whole or not at all. `nearline retrain --status` and
`nearline doctor` read it; only the holder of the training lock writes it.
"""

from __future__ import annotations

import os
import secrets
from enum import StrEnum
from pathlib import Path

import msgspec

from nearline.errors import PermanentError
from nearline.say import say

KEPT_RUNS = 50


class Verdict(StrEnum):
    """How a run ended. The champion changes with PROMOTED and with nothing else."""

    PROMOTED = "promoted"
    UNCHANGED = "unchanged"  # nothing new to learn from since the champion
    REFUSED = "refused"  # by the promotion policy
    FAILED = "failed"
    STOPPED = "stopped"  # somebody asked it to
    KILLED = "killed"  # it ended without a word

    @property
    def word(self) -> str:
        """In the reader's language."""
        return say(self.value, _IN_CHINESE[self])


_IN_CHINESE = {
    Verdict.PROMOTED: "已上线",
    Verdict.UNCHANGED: "无变化",
    Verdict.REFUSED: "未达门槛",
    Verdict.FAILED: "失败",
    Verdict.STOPPED: "已中断",
    Verdict.KILLED: "被杀死",
}
SUCCESSES = {Verdict.PROMOTED, Verdict.UNCHANGED}


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One finished run. `why` and `sentence` are in the language of whoever ran it."""

    why: str
    started_us: int
    seconds: float
    verdict: Verdict
    sentence: str
    version: str = ""  # registered, promoted or not
    recipe: str = ""
    history_fingerprint: str = ""  # of what it learnt from; empty when it did not get there

    @property
    def ended_us(self) -> int:
        return self.started_us + int(self.seconds * 1e6)

    def told(self) -> str:
        """What became of it, in a line."""
        return say(
            f"{self.verdict.word}, {self.seconds:.0f} s: {self.sentence}",
            f"{self.verdict.word}，{self.seconds:.0f} 秒：{self.sentence}",
        )


class Running(msgspec.Struct, frozen=True):
    """A run that has begun. With nobody holding the training lock, one that was killed."""

    why: str
    started_us: int
    pid: int


class Retraining(msgspec.Struct, frozen=True, kw_only=True):
    """The file: finished runs, oldest first, and what is under way or planned."""

    runs: list[Run] = msgspec.field(default_factory=list)
    running: Running | None = None
    every_s: float | None = None  # of the schedule that ran last; None when there never was one
    next_us: int | None = None

    @property
    def last(self) -> Run | None:
        return self.runs[-1] if self.runs else None

    @property
    def last_success_us(self) -> int | None:
        """When a run last ended with a champion that knows all of history."""
        ended = [run.ended_us for run in self.runs if run.verdict in SUCCESSES]
        return max(ended, default=None)


def path_of(home: Path) -> Path:
    return home / "retraining.json"


def read(home: Path) -> Retraining:
    """The file of a home folder, empty where there is none; raises PermanentError if damaged."""
    path = path_of(home)
    try:
        return msgspec.json.decode(path.read_bytes(), type=Retraining)
    except FileNotFoundError:
        return Retraining()
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise PermanentError(
            f"{path} cannot be read ({error}). It only says when training ran: remove it, and "
            "the next `nearline retrain` begins a new one."
        ) from error


def write(home: Path, state: Retraining) -> None:
    """Replace the file at once; keeps the newest runs."""
    home.mkdir(parents=True, exist_ok=True)
    path = path_of(home)
    kept = msgspec.structs.replace(state, runs=state.runs[-KEPT_RUNS:])
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with aside.open("wb") as handle:
            handle.write(msgspec.json.format(msgspec.json.encode(kept), indent=2) + b"\n")
            handle.flush()
            os.fsync(handle.fileno())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
