"""A schedule that lives: it trains on the beat, and sees what others have trained meanwhile."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from click.testing import CliRunner

from nearline import retraining
from nearline.clock import SystemClock, utc
from nearline.retraining import Retraining, Run, Running, Schedule, Verdict
from nearline.transforms.buckets import DAY_US, HOUR_US, MINUTE_US
from training import lock
from training.retraining_commands import retrain
from training.retraining_loop import Loop

MIDNIGHT_US = 1_762_128_000_000_000  # 2025-11-03 00:00 UTC
DAILY = Schedule(24 * HOUR_US)


@dataclass
class Set:
    """A clock that shows what it was set to."""

    instant_us: int

    def now_us(self) -> int:
        return self.instant_us


@dataclass
class Heard:
    """What a schedule says. Each sentence is answered by a deed, and the last by SIGTERM."""

    deeds: Sequence[Callable[[], object]]
    said: list[str] = field(default_factory=list)

    def __call__(self, sentence: str) -> None:
        self.said.append(sentence)
        if len(self.said) <= len(self.deeds):
            self.deeds[len(self.said) - 1]()
        else:
            os.kill(os.getpid(), signal.SIGTERM)


def ran(started_us: int, verdict: Verdict = Verdict.PROMOTED) -> Run:
    return Run(why="test", started_us=started_us, seconds=60.0, verdict=verdict, sentence="so")


def nothing() -> None: ...


def test_a_run_by_hand_while_the_schedule_sleeps_moves_the_beat(tmp_path: Path) -> None:
    first, by_hand = ran(MIDNIGHT_US), ran(MIDNIGHT_US + 20 * HOUR_US)
    retraining.write(tmp_path, Retraining(runs=[first]))
    clock = Set(MIDNIGHT_US + HOUR_US)

    def somebody_trains_and_the_old_beat_passes() -> None:
        retraining.write(tmp_path, Retraining(runs=[first, by_hand]))
        clock.instant_us = MIDNIGHT_US + 24 * HOUR_US + MINUTE_US

    def never(why: str) -> list[str]:
        raise AssertionError(f"trained: {why}")

    heard = Heard([nothing, somebody_trains_and_the_old_beat_passes])
    Loop(tmp_path, DAILY, never, clock, heard, look_s=0.01).run()

    assert heard.said == [
        "Retraining every 24 h.",
        "Next: 2025-11-04 00:00 UTC.",
        "Next: 2025-11-04 20:00 UTC.",
    ]


CHILD = f"""
import os, sys
from pathlib import Path
from nearline import retraining
from nearline.clock import SystemClock, utc
from nearline.retraining import Retraining, Run, Running, Verdict
from training import lock
home, ends = Path(sys.argv[1]), sys.argv[2]
with lock.held(home, lock.TRAINING, "nearline retrain"):
    retraining.write(home, Retraining(running=Running("test", {MIDNIGHT_US}, os.getpid())))
    if ends == "killed":
        os.kill(os.getpid(), 9)
    run = Run(why="test", started_us={MIDNIGHT_US}, seconds=60.0,
              verdict=Verdict.PROMOTED, sentence="version 1 is champion")
    retraining.write(home, Retraining(runs=[run]))
"""


@pytest.mark.parametrize(
    ("ends", "told", "then"),
    [
        ("well", "promoted, 60 s: version 1 is champion", "Next: 2025-11-04 00:00 UTC."),
        ("killed", "killed, 0 s: its process", "Next: 2025-11-03 01:00 UTC."),
    ],
)
def test_a_child_trains_and_how_it_ended_says_when_the_next_does(
    tmp_path: Path, ends: str, told: str, then: str
) -> None:
    heard = Heard([nothing, nothing, nothing])

    def command(why: str) -> list[str]:
        return [sys.executable, "-c", CHILD, str(tmp_path), ends]

    Loop(tmp_path, DAILY, command, Set(MIDNIGHT_US), heard, look_s=0.01).run()

    assert heard.said[1] == "Training: every 24 h, the first."
    assert heard.said[2].startswith(told)
    assert heard.said[3] == then
    assert retraining.read(tmp_path).running is None


def test_what_cannot_begin_is_left_for_ten_minutes(tmp_path: Path) -> None:
    clock = Set(MIDNIGHT_US)
    heard = Heard([nothing, nothing, nothing])

    with lock.held(tmp_path, lock.TRAINING, "nearline train"):
        Loop(
            tmp_path,
            DAILY,
            lambda why: [sys.executable, "-c", CHILD, str(tmp_path), "well"],
            clock,
            heard,
            look_s=0.01,
        ).run()

    assert heard.said[2] == "It could not begin (exit 1); again in 10 minutes."
    assert heard.said[3] == "Next: within minutes."


@pytest.mark.parametrize(
    ("language", "told"),
    [("en", "or an hour after the run under way if that fails."), ("zh", "若本次训练失败")],
)
def test_status_beside_a_run_by_hand_says_what_follows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, language: str, told: str
) -> None:
    monkeypatch.setenv("NEARLINE_HOME", str(tmp_path))
    monkeypatch.setenv("NEARLINE_LANG", language)
    monkeypatch.setenv("COLUMNS", "200")
    began_us = SystemClock().now_us()
    retraining.write_schedule(tmp_path, DAILY)
    retraining.write(
        tmp_path,
        Retraining(runs=[ran(MIDNIGHT_US)], running=Running("asked for", began_us, os.getpid())),
    )

    with (
        lock.held(tmp_path, lock.SCHEDULE, "nearline retrain --every"),
        lock.held(tmp_path, lock.TRAINING, "nearline retrain"),
    ):
        said = CliRunner().invoke(retrain, ["--status"], catch_exceptions=False).output

    *_, since, following = said.splitlines()
    assert f"{utc(began_us):%Y-%m-%d %H:%M} UTC" in since
    assert f"{utc(began_us + DAY_US):%Y-%m-%d %H:%M} UTC" in following
    assert told in following
    assert Verdict.PROMOTED.word in said


STUBBORN = f"""
import os, signal, sys, time
from pathlib import Path
from nearline import retraining
from nearline.retraining import Retraining, Running
from training import lock
signal.signal(signal.SIGTERM, lambda *_: os.kill(os.getppid(), signal.SIGINT))
with lock.held(Path(sys.argv[1]), lock.TRAINING, "nearline retrain"):
    running = Running("test", {MIDNIGHT_US}, os.getpid())
    retraining.write(Path(sys.argv[1]), Retraining(running=running))
    os.kill(os.getppid(), signal.SIGINT)
    while True:
        time.sleep(60)
"""


def test_the_second_ctrl_c_leaves_no_training_behind(tmp_path: Path) -> None:
    def command(why: str) -> list[str]:
        return [sys.executable, "-c", STUBBORN, str(tmp_path)]

    with pytest.raises(KeyboardInterrupt):
        Loop(tmp_path, DAILY, command, Set(MIDNIGHT_US), lambda sentence: None).run()

    assert not lock.is_held(tmp_path, lock.TRAINING)
    state = retraining.read(tmp_path)
    assert state.running is None
    assert state.last is not None
    assert state.last.verdict is Verdict.KILLED
