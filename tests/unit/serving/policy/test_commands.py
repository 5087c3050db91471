"""`nearline scenes` as people use it."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from serving.policy.commands import scenes
from serving.policy.load import SHIPPED, load, shipped


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NEARLINE_POLICY", str(tmp_path / "policy"))
    monkeypatch.setenv("NEARLINE_LANG", "en")
    monkeypatch.setenv("COLUMNS", "80")
    return tmp_path / "policy"


def run(*arguments: str) -> Result:
    return CliRunner().invoke(scenes, arguments)


def test_list_names_every_scene_in_eighty_columns(folder: Path) -> None:
    result = run("list")

    assert result.exit_code == 0
    words = result.output.split()
    assert set(shipped().scenes) <= set(words)
    assert max(map(len, result.output.splitlines()[:-1])) <= 80
    assert f"These are the shipped ones: {folder} has no files." in result.output


def test_show_prints_yaml_that_can_be_copied(folder: Path) -> None:
    result = run("show", "detail_similar")

    assert result.exit_code == 0
    home = yaml.safe_dump(yaml.safe_load(run("show", "home").output))
    both = {"a.yaml": result.output.encode(), "b.yaml": home.encode()}
    assert load(both).scenes["detail_similar"] == shipped().scenes["detail_similar"]
    assert "#   category_share: 1.0" in result.output


def test_show_tells_which_campaigns_reach_a_scene(folder: Path) -> None:
    folder.mkdir()
    (folder / "campaigns.yaml").write_text(
        "campaigns:\n"
        "- {id: past, from: 2020-01-01, to: 2020-01-02, boosts: [{category: a, factor: 2}]}\n"
        "- {id: long, from: 2020-01-01, to: 2199-01-02, boosts: [{category: a, factor: 2}]}\n"
        "- {id: next, from: 2198-01-01, to: 2199-01-02, boosts: [{category: a, factor: 2}]}\n"
        "- {id: none, scenes: [cart], from: 2020-01-01, to: 2199-01-01,\n"
        "   boosts: [{category: a, factor: 2}]}\n"
    )

    output = run("show", "home").output

    assert "#   past: 2020-01-01 00:00 - 2020-01-03 00:00 UTC, over" in output
    assert "#   long: 2020-01-01 00:00 - 2199-01-03 00:00 UTC, live" in output
    assert "#   next: 2198-01-01 00:00 - 2199-01-03 00:00 UTC, to come" in output
    assert "none:" not in output
    assert "# Campaigns:" not in run("show", "home", "--shipped").output
    assert "13 scenes, 4 campaigns (2 live, 1 to come, 1 over)" in run("check").output


def test_show_of_an_unknown_scene_names_the_known(folder: Path) -> None:
    result = run("show", "hme")

    assert result.exit_code == 1
    assert "There is no scene 'hme': try home, guess_you_like" in result.output


def test_check_prints_file_line_and_sentence_and_ends_with_1(tmp_path: Path, folder: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "rules.yaml").write_text("rules:\n  seen_share: 40\n  baned: [a]\n")

    result = run("check", str(tmp_path / "mine"))

    file = tmp_path / "mine" / "rules.yaml"
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        f"{file}:2: rules.seen_share is '40'; expected a number above 0, at most 1",
        f"{file}:3: rules has no 'baned': did you mean banned? It may hold age_limits, banned, "
        "banned_categories, category_share, frequency_caps, min_rating, never_purchased, "
        "out_of_stock, repurchasable_categories, seen_share",
    ]
    assert result.stderr.startswith("Mistakes: 2.")


def test_check_of_a_good_folder_ends_with_0_and_names_the_version(folder: Path) -> None:
    result = run("check", str(SHIPPED))

    assert result.exit_code == 0
    assert f"13 scenes, 0 campaigns, version {shipped().version}" in result.output
    assert run("check", str(folder / "none")).exit_code == 2


def test_init_copies_what_ships_and_never_overwrites(folder: Path) -> None:
    first = run("init")

    assert first.exit_code == 0
    assert first.output.count("written") == 3
    assert f"From {folder}" in run("check").output
    (folder / "rules.yaml").write_text("rules: {category_share: 0.5}")
    (folder / "scenes.yaml").unlink()

    again = run("init")

    assert (again.output.count("written"), again.output.count("kept")) == (1, 2)
    assert (folder / "rules.yaml").read_text() == "rules: {category_share: 0.5}"


def test_the_commands_speak_chinese(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEARLINE_LANG", "zh")

    assert "没有错误：13 个场景" in run("check").output
    assert "购物车" in run("list").output


def test_help_teaches_with_examples() -> None:
    assert "nearline scenes check" in run("--help").output
    assert "nearline scenes check ./policy" in run("check", "--help").output
