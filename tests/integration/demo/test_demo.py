"""`nearline demo --once` as a newcomer runs it: first from nothing, then again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

FIRST_LIMIT_S = 900  # Only a guard against hanging; the figures are printed.


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo")


def run_demo(home: Path) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if "NEARLINE" not in name}
    return subprocess.run(
        [sys.executable, "-m", "nearline", "demo", "--once", "--any-port"],
        env={**environ, "NEARLINE_HOME": str(home), "NEARLINE_LANG": "en", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=FIRST_LIMIT_S,
        check=False,
    )


def left_behind(home: Path) -> list[str]:
    """Names of processes that still know this home."""
    found: list[str] = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("NEARLINE_HOME", "").startswith(str(home)):
                found.append(process.name())
        except (psutil.Error, OSError):
            continue
    return found


@pytest.mark.ray
@pytest.mark.slow
def test_the_first_run_makes_everything_and_three_clicks_change_the_list(home: Path) -> None:
    done = run_demo(home)

    assert done.returncode == 0, done.stderr[-3_000:] + done.stdout[-3_000:]
    assert "places are new. From the last click to the changed list" in done.stdout
    assert "is champion" in done.stderr
    assert left_behind(home) == []


@pytest.mark.ray
@pytest.mark.slow
def test_the_second_run_reuses_what_the_first_one_made(home: Path) -> None:
    done = run_demo(home)

    assert done.returncode == 0, done.stderr[-3_000:] + done.stdout[-3_000:]
    assert "are there: reusing" in done.stderr
    assert "kept" in done.stdout
    assert left_behind(home) == []
