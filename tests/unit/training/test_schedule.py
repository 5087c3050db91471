"""When training runs next, and that two never run at once."""

from __future__ import annotations

import fcntl
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from nearline import retraining
from nearline.clock import micros, utc
from nearline.errors import PermanentError
from nearline.retraining import Retraining, Run, Running, Verdict
from training import lock
from training.retraining import settle
from training.schedule import next_us, parse, told_next, why

HOUR_US = 3_600_000_000


def at(text: str) -> int:
    return micros(utc(0).fromisoformat(f"{text}+00:00"))


def ran(started: str, verdict: Verdict = Verdict.PROMOTED, seconds: float = 600.0) -> Run:
    return Run(why="test", started_us=at(started), seconds=seconds, verdict=verdict, sentence="")


@pytest.mark.parametrize(
    ("every", "time", "last", "now", "expected"),
    [
        # never ran: at once
        ("24h", "03:00", None, "2026-11-21T12:00", "2026-11-21T12:00"),
        # ran off the beat: the next beat
        ("24h", "03:00", "2026-11-21T12:00", "2026-11-21T12:10", "2026-11-22T03:00"),
        # ran on the beat: the next one, not the same again
        ("24h", "03:00", "2026-11-21T03:00", "2026-11-21T03:10", "2026-11-22T03:00"),
        # a beat was missed while nothing ran: at once
        ("24h", "03:00", "2026-11-19T03:00", "2026-11-21T08:00", "2026-11-21T08:00"),
        ("6h", "03:00", "2026-11-21T03:00", "2026-11-21T04:00", "2026-11-21T09:00"),
        ("6h", "21:00", "2026-11-21T21:30", "2026-11-21T22:00", "2026-11-22T03:00"),
        # without a time of day: since the last run
        ("90m", None, "2026-11-21T12:00", "2026-11-21T12:10", "2026-11-21T13:30"),
        ("1d", None, "2026-11-20T12:00", "2026-11-21T12:10", "2026-11-21T12:10"),
        ("2d", "03:00", "2026-11-21T03:00", "2026-11-21T04:00", "2026-11-23T03:00"),
    ],
)
def test_the_next_run(
    every: str, time: str | None, last: str | None, now: str, expected: str
) -> None:
    found = next_us(parse(every, time), ran(last) if last else None, at(now))

    # a beat of two days falls on every other day, whichever those are
    assert utc(found) in {utc(at(expected)), utc(at(expected) - (every == "2d") * 24 * HOUR_US)}


@pytest.mark.parametrize("verdict", [Verdict.FAILED, Verdict.KILLED])
def test_what_failed_is_tried_again_after_an_hour(verdict: Verdict) -> None:
    last = ran("2026-11-21T03:00", verdict)

    assert next_us(parse("24h", "03:00"), last, at("2026-11-21T03:10")) == at("2026-11-21T04:10")
    assert "again after one that was" in why(parse("24h", "03:00"), last)


@pytest.mark.parametrize(
    ("every", "time", "now", "told"),
    [
        ("24h", "03:00", "2026-11-21T20:05", "Next: 2026-11-22 03:00 UTC, or an hour after the"),
        ("24h", None, "2026-11-21T20:05", "Next: 2026-11-22 20:00 UTC, or an hour after the"),
        ("24h", "03:00", "2026-11-22T03:05", "Next: when the run under way has ended."),
    ],
)
def test_beside_a_run_by_hand_the_next_is_the_one_that_follows_it(
    every: str, time: str | None, now: str, told: str
) -> None:
    """The last of the schedule's own was at three; somebody trains since eight in the evening."""
    by_hand = Running("asked for", at("2026-11-21T20:00"), pid=7)
    state = Retraining(runs=[ran("2026-11-21T03:00")], running=by_hand)

    assert told_next(parse(every, time), state, True, at(now)).startswith(told)


def test_a_run_that_was_killed_comes_again_within_the_hour() -> None:
    state = Retraining(runs=[], running=Running("test", at("2026-11-21T03:00"), pid=7))
    rhythm = parse("24h", "03:00")

    assert told_next(rhythm, state, False, at("2026-11-21T03:30")) == "Next: 2026-11-21 04:00 UTC."
    assert told_next(rhythm, state, False, at("2026-11-21T08:00")) == "Next: within minutes."


def test_what_was_refused_waits_for_the_beat() -> None:
    last = ran("2026-11-21T03:00", Verdict.REFUSED)

    assert next_us(parse("24h", "03:00"), last, at("2026-11-21T05:00")) == at("2026-11-22T03:00")
    assert why(parse("24h", "03:00"), last) == "every 24 h from 03:00 UTC"


@pytest.mark.parametrize(
    ("every", "time", "told"),
    [("soon", None, "90m"), ("0h", None, "90m"), ("24h", "25:00", "03:00"), ("7h", "03:00", "6h")],
)
def test_words_that_make_no_schedule_are_answered_with_some_that_do(
    every: str, time: str | None, told: str
) -> None:
    with pytest.raises(PermanentError, match=told):
        parse(every, time)


def test_a_second_training_is_told_who_is_at_work(tmp_path: Path) -> None:
    with lock.held(tmp_path, lock.TRAINING, "nearline train"):
        assert lock.is_held(tmp_path, lock.TRAINING)
        with (
            pytest.raises(lock.Busy, match="nearline train"),
            lock.held(tmp_path, lock.TRAINING, "another"),
        ):
            raise AssertionError("two at once")
        with lock.held(tmp_path, lock.SCHEDULE, "a schedule"):  # another lock
            pass

    assert not lock.is_held(tmp_path, lock.TRAINING)
    with lock.held(tmp_path, lock.TRAINING, "the next"):
        pass


def test_a_killed_process_leaves_no_lock_and_is_written_down(tmp_path: Path) -> None:
    code = (
        "import os, sys; from pathlib import Path; from training import lock; "
        "from nearline import retraining as r\n"
        "with lock.held(Path(sys.argv[1]), lock.TRAINING, 'nearline retrain'):\n"
        "    r.write(Path(sys.argv[1]), r.Retraining(running=r.Running('test', 5, os.getpid())))\n"
        "    os.kill(os.getpid(), 9)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)]).returncode == -9
    assert retraining.read(tmp_path).running is not None

    with lock.held(tmp_path, lock.TRAINING, "the next"):
        settle(tmp_path)

    state = retraining.read(tmp_path)
    assert state.running is None
    assert [(run.verdict, run.started_us) for run in state.runs] == [(Verdict.KILLED, 5)]


@pytest.mark.parametrize("verdict", list(Verdict))
def test_a_reader_of_chinese_reads_no_english_word(
    verdict: Verdict, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEARLINE_LANG", "zh")
    rhythm, last = parse("24h", "03:00"), ran("2026-11-21T03:00", verdict)

    said = [str(rhythm), why(rhythm, None), why(rhythm, last), last.told()]

    assert said[0] == "每 24 小时，自 03:00 UTC 起"
    assert said[1] == "每 24 小时，自 03:00 UTC 起，首次"
    assert not any(re.search("[A-Za-z]", one.replace("UTC", "")) for one in said)


def test_the_state_keeps_the_newest_runs_and_the_last_success(tmp_path: Path) -> None:
    good, bad = ran("2026-11-20T03:00"), ran("2026-11-21T03:00", Verdict.FAILED)
    retraining.write(tmp_path, Retraining(runs=[bad] * 60 + [good, bad]))

    state = retraining.read(tmp_path)

    assert len(state.runs) == retraining.KEPT_RUNS
    assert state.last == bad
    assert state.last_success_us == at("2026-11-20T03:10")
    assert retraining.read_schedule(tmp_path) is None
    assert [path.name for path in tmp_path.iterdir()] == ["retraining.json"]


def test_a_damaged_state_says_what_to_do(tmp_path: Path) -> None:
    assert retraining.read(tmp_path) == Retraining()
    (tmp_path / "retraining.json").write_text('{"runs": [')

    with pytest.raises(PermanentError, match="remove it"):
        retraining.read(tmp_path)


def test_somebody_who_looks_whether_a_training_runs_keeps_none_from_beginning(
    tmp_path: Path,
) -> None:
    with lock.held(tmp_path, lock.TRAINING, "before"):
        pass
    looking = (tmp_path / lock.TRAINING).open("rb")
    fcntl.flock(looking, fcntl.LOCK_SH)
    threading.Timer(0.05, looking.close).start()

    with lock.held(tmp_path, lock.TRAINING, "nearline train"):
        assert lock.is_held(tmp_path, lock.TRAINING)
