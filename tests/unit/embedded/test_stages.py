from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import psutil
import pytest

from nearline.demo import stages
from nearline.demo.stages import Preparation, Stage, forget_if_stale
from nearline.errors import TransientError

GOOD = Stage("history", "history", ("--version",))
ALSO = Stage("models", "models", ("--version",))
BAD = Stage("models", "models", ("no-such-command",))


def preparation(home: Path) -> Preparation:
    return Preparation(home, "redis://127.0.0.1:1/0", os.environ)


def names(preparation: Preparation, *stages: Stage) -> list[str]:
    return [stage.name for stage, _ in preparation.missing(stages)]


def test_a_stage_that_succeeded_is_not_run_again(tmp_path: Path) -> None:
    work = preparation(tmp_path)
    for stage, fingerprint in work.missing([GOOD]):
        work.run(stage, fingerprint)

    assert names(work, GOOD, ALSO) == ["models"]


def test_a_change_redoes_everything_after_it(tmp_path: Path) -> None:
    work = preparation(tmp_path)
    for stage, fingerprint in work.missing([GOOD, ALSO]):
        work.run(stage, fingerprint)
    changed = Stage("history", "history", ("--help",))

    assert names(work, GOOD, ALSO) == []
    assert names(work, changed, ALSO) == ["history", "models"]


def test_a_stage_that_failed_says_what_to_do_and_is_run_again(tmp_path: Path) -> None:
    work = preparation(tmp_path)
    [(stage, fingerprint)] = work.missing([BAD])

    with pytest.raises(TransientError, match="run the same command again"):
        work.run(stage, fingerprint)

    assert names(work, BAD) == ["models"]


def test_a_torn_marker_counts_as_not_done(tmp_path: Path) -> None:
    work = preparation(tmp_path)
    (tmp_path / "stages").mkdir()
    (tmp_path / "stages" / "history.json").write_text('{"finger')

    assert names(work, GOOD) == ["history"]


def test_a_history_made_more_than_three_days_ago_is_forgotten(tmp_path: Path) -> None:
    home = tmp_path / "demo"
    (home / "stages").mkdir(parents=True)
    (home / "stages" / "history.json").write_text("{}")

    assert not forget_if_stale(home, time.time())
    assert forget_if_stale(home, time.time() + 4 * 86_400)
    assert not home.exists()


STUBBORN = """
import os, signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
os.kill(os.getppid(), signal.SIGINT)
time.sleep(600)
"""


def test_ctrl_c_ends_a_stage_that_does_not_end_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def started(_: Sequence[str]) -> list[str]:
        return [sys.executable, "-c", STUBBORN]

    monkeypatch.setattr(stages, "dying_with_us", started)
    monkeypatch.setattr(stages, "_STOP_LIMIT_S", 0.01)
    work, before = preparation(tmp_path), psutil.Process().children()

    with pytest.raises(KeyboardInterrupt):
        work.run(GOOD, "print")

    assert psutil.Process().children() == before
    assert names(work, GOOD) == ["history"]
