"""What is wrong with the scene and rule files is told by whoever runs the system, in its terminal.

Checked by the real command, `nearline scenes check`.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from nearline.embedded.policy import PolicyFiles

GOOD, BROKEN = "rules: {seen_share: 0.5}\n", "rules:\n  seen_share: 40\n"


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    folder = tmp_path / "policy"
    folder.mkdir()
    return folder


def watched(policy: Path, language: str = "en") -> tuple[PolicyFiles, list[str]]:
    told: list[str] = []
    environ = {**os.environ, "NEARLINE_POLICY": str(policy), "NEARLINE_LANG": language}
    return PolicyFiles(policy, environ, told.append), told


def test_mistakes_are_told_with_file_and_line_once_and_so_is_that_they_are_mended(
    policy: Path,
) -> None:
    (policy / "rules.yaml").write_text(BROKEN)
    files, told = watched(policy)

    files.look()
    files.look()

    (text,) = told
    assert f"{policy / 'rules.yaml'}:2: rules.seen_share is '40'" in text
    assert "Mistakes: 1. What served before goes on serving until they are mended." in text

    (policy / "rules.yaml").write_text(GOOD)
    files.look()
    assert told[1].startswith("No mistakes: ")


def test_good_files_and_a_change_of_good_files_are_not_talked_about(policy: Path) -> None:
    files, told = watched(policy)
    files.look()  # No files: what ships holds.
    (policy / "rules.yaml").write_text(GOOD)
    files.look()
    assert told == []

    (policy / "scenes.yml").write_text("scenes: 3\n")
    files.look()
    assert len(told) == 1


def test_they_are_told_in_the_readers_language(policy: Path) -> None:
    (policy / "rules.yaml").write_text(BROKEN)
    files, told = watched(policy, "zh")

    files.look()

    assert f"{policy / 'rules.yaml'}:2: " in told[0]
    assert "共 1 处错误" in told[0]


def test_without_a_folder_there_is_nothing_to_say(tmp_path: Path) -> None:
    files, told = watched(tmp_path / "nowhere")
    files.look()
    assert told == []


def test_a_folder_that_cannot_be_listed_is_told_and_ends_nothing(tmp_path: Path) -> None:
    (tmp_path / "a file").write_text("")
    files, told = watched(tmp_path / "a file" / "policy")

    files.look()
    files.look()

    assert len(told) == 1
