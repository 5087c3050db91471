"""What retraining leaves to read: each run with why, how long and the verdict, and its schedule.

Two small files in the home folder, written whole or not at all, each by one writer: runs by the
holder of the training lock, the schedule by the one that runs. `nearline retrain --status` and
`nearline doctor` read them. When the next run is due is not kept, since every run moves it.
"""

from __future__ import annotations

import os
import secrets
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

import msgspec

from nearline.errors import PermanentError
from nearline.say import say

KEPT_RUNS = 50
_RUNS, _SCHEDULE = "retraining.json", "schedule.json"
Kept = TypeVar("Kept")


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

    def killed(self) -> Run:
        """What is written down where its process ended without a word."""
        return Run(
            why=self.why,
            started_us=self.started_us,
            seconds=0.0,
            verdict=Verdict.KILLED,
            sentence=say(
                f"its process {self.pid} ended without a word; the champion was not touched",
                f"进程 {self.pid} 未留下结果即结束；线上模型未变",
            ),
        )


class Schedule(msgspec.Struct, frozen=True):
    """Every `every_us`, on the beat of `at_us` after midnight UTC where that is given."""

    every_us: int
    at_us: int | None = None

    def __str__(self) -> str:
        hours = f"{self.every_us / 3_600_000_000:g}"
        if self.at_us is None:
            return say(f"every {hours} h", f"每 {hours} 小时")
        minutes = self.at_us // 60_000_000
        at = f"{minutes // 60:02d}:{minutes % 60:02d} UTC"
        return say(f"every {hours} h from {at}", f"每 {hours} 小时，自 {at} 起")


class Retraining(msgspec.Struct, frozen=True, kw_only=True):
    """Finished runs, oldest first, and what is under way."""

    runs: list[Run] = msgspec.field(default_factory=list)
    running: Running | None = None

    @property
    def last(self) -> Run | None:
        return self.runs[-1] if self.runs else None

    @property
    def last_success_us(self) -> int | None:
        """When a run last ended with a champion that knows all of history."""
        ended = [run.ended_us for run in self.runs if run.verdict in SUCCESSES]
        return max(ended, default=None)


def read(home: Path) -> Retraining:
    """The runs of a home folder, none where there is no file; raises PermanentError if damaged."""
    return _read(home / _RUNS, Retraining) or Retraining()


def write(home: Path, state: Retraining) -> None:
    """Replace the runs at once; keeps the newest."""
    _write(home / _RUNS, msgspec.structs.replace(state, runs=state.runs[-KEPT_RUNS:]))


def read_schedule(home: Path) -> Schedule | None:
    """The schedule that ran last, None where there never was one; raises PermanentError."""
    return _read(home / _SCHEDULE, Schedule)


def write_schedule(home: Path, schedule: Schedule) -> None:
    """Replace the schedule at once."""
    _write(home / _SCHEDULE, schedule)


def _read(path: Path, kind: type[Kept]) -> Kept | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise PermanentError(
            f"{path} cannot be read ({error}). It only says when training ran or runs: remove "
            "it, and the next `nearline retrain` begins a new one."
        ) from error


def _write(path: Path, value: msgspec.Struct) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with aside.open("wb") as handle:
            handle.write(msgspec.json.format(msgspec.json.encode(value), indent=2) + b"\n")
            handle.flush()
            os.fsync(handle.fileno())
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)
