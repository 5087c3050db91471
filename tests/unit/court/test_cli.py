"""The command line: it teaches, it is quick to say so, and it speaks in sentences."""

from __future__ import annotations

import os
import subprocess
import sys

import click
import pytest

from nearline.cli import commands

CONTEXT = click.Context(commands)
NAMES = commands.list_commands(CONTEXT)


def nearline(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "nearline", *arguments],
        env={**os.environ, "NEARLINE_LANG": "en", **environ},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("name", NAMES)
def test_every_command_is_there_and_its_help_says_what_it_is_for(name: str) -> None:
    command = commands.get_command(CONTEXT, name)

    assert command is not None
    assert len(command.help or "") > 60


LIST = ("lists", "win-back")
IN_AN_INSTANT = [
    ("--help",),
    *[(name, "--help") for name in NAMES],
    (*LIST, "--help"),
    (*LIST, "--out", "list.txt"),
    (*LIST, "--channel", "fax"),
    (*LIST, "--with-items", "3", "--scene", "nowhere"),
    ("replay-answer", "of yesterday"),
    ("bench", "--any-port"),
]


def test_help_and_what_is_refused_import_nothing_that_takes_seconds() -> None:
    """One process for all of them: what none has imported is not there at the end."""
    heavy = "feast ray torch mlflow pandas pyarrow scipy numpy xgboost faiss duckdb redis"
    look = (
        "import sys; from nearline.cli import commands\n"
        f"for words in {IN_AN_INSTANT!r}:\n"
        "    try: commands(list(words))\n"
        "    except SystemExit as end: assert end.code == (0 if '--help' in words else 2), words\n"
        f"print([n for n in '{heavy}'.split() if n in sys.modules])"
    )

    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
    assert all(name in done.stdout for name in NAMES)


def test_a_folder_that_cannot_be_made_is_one_sentence() -> None:
    done = nearline("up", "--any-port", NEARLINE_HOME="/dev/null/home")

    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "NEARLINE_HOME" in done.stderr


def test_a_bad_setting_is_one_sentence() -> None:
    done = nearline("worker", NEARLINE_PARTITIONS="many")

    assert done.returncode == 1
    assert "NEARLINE_PARTITIONS='many' is not a number" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_command_is_told_with_exit_code_2() -> None:
    done = nearline("recomend")

    assert done.returncode == 2
    assert "No such command" in done.stderr
