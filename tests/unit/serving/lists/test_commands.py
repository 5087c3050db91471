"""`nearline lists` where it refuses: at once, and with what to do."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from serving.lists import commands
from serving.policy.folder import KEPT
from serving.policy.load import shipped
from serving.policy.model import Policy, canonical


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[frozenset[str]]:
    """Whom each list that began was told to leave out."""
    found = list[frozenset[str]]()
    monkeypatch.setattr(commands, "_run", lambda _, given: found.append(given["leave_out"]))
    return found


@pytest.mark.parametrize(("language", "told"), [("en", "in UTF-8"), ("zh", "请存为 UTF-8")])
def test_a_file_to_leave_out_that_is_no_text_is_told_before_anything_begins(
    tmp_path: Path, given: list[frozenset[str]], language: str, told: str
) -> None:
    path = tmp_path / "out.txt"
    path.write_bytes("张三\n".encode("gbk"))

    done = CliRunner(env={"NEARLINE_LANG": language}).invoke(
        commands.lists, ["win-back", "--leave-out", str(path)]
    )

    assert done.exit_code == 2
    assert str(path) in done.stderr
    assert told in done.stderr
    assert given == []


def test_ids_to_leave_out_stand_one_a_line(tmp_path: Path, given: list[frozenset[str]]) -> None:
    path = tmp_path / "out.txt"
    path.write_text("\ufeffann\r\n\n 张三 \n", encoding="utf-8")

    for words in (["--leave-out", str(path)], []):
        assert CliRunner().invoke(commands.lists, ["win-back", *words]).exit_code == 0

    assert given == [{"ann", "张三"}, frozenset()]


class Enough(Exception):
    """What is under test has happened."""


def test_while_policy_files_are_broken_the_last_good_ones_hold_and_the_mistakes_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, policies = shipped(), list[Policy]()
    file = tmp_path / "policy" / "rules.yaml"
    for path, content in ((file, b"rulez: {}\n"), (tmp_path / "bundles" / KEPT, canonical(good))):
        path.parent.mkdir()
        path.write_bytes(content)

    def enough(_purpose: str, _given: object, _chosen: object, policy: Policy, _: object) -> None:
        policies.append(policy)
        raise Enough

    monkeypatch.setattr(commands, "_made", enough)
    environ = {"NEARLINE_HOME": str(tmp_path), "NEARLINE_LANG": "en"}
    done = CliRunner(env=environ).invoke(commands.lists, ["win-back"])

    assert isinstance(done.exception, Enough)
    assert [one.version for one in policies] == [good.version]
    assert f"goes on by the last good files; mend:\n{file}:1: " in done.stderr
