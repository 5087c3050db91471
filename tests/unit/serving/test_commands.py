"""`nearline serve` and `nearline replay-answer` where they refuse: at once, and with what to do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from serving.commands import replay_answer


@pytest.mark.parametrize(
    ("language", "told"),
    [
        ("en", "no good ones of an earlier run are kept"),
        ("zh", "场景与规则文件有错误"),
    ],
)
def test_broken_policy_files_at_a_first_start_are_named_with_path_and_line(
    tmp_path: Path, language: str, told: str
) -> None:
    file = tmp_path / "policy" / "rules.yaml"
    file.parent.mkdir()
    file.write_text("rules:\n  seen_share: 40\n  baned: [a]\n")
    environ = {name: value for name, value in os.environ.items() if "NEARLINE" not in name}

    # A process of its own: what serves closes the door to pandas (`workers.stay_lean`).
    done = subprocess.run(
        [sys.executable, "-m", "nearline", "serve"],
        env={**environ, "NEARLINE_HOME": str(tmp_path), "NEARLINE_LANG": language},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    first, *mistakes = done.stderr.splitlines()
    assert told in first
    assert "`nearline scenes check`" in first
    assert [line.partition(": ")[0] for line in mistakes] == [f"{file}:2", f"{file}:3"]


@pytest.mark.parametrize("given", ["abc", "g" * 32, "0" * 33, "0" * 32 + "\n"])
def test_what_is_no_response_id_is_refused_at_once(given: str) -> None:
    done = CliRunner(env={"NEARLINE_LANG": "en"}).invoke(replay_answer, [given])

    assert done.exit_code == 2
    assert "is no response id: expected the 32 hexadecimal digits" in done.stderr
