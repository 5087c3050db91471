"""A reproduction's page says who measured what, and whether the gates were met."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path

import pytest
from click.testing import CliRunner

from nearline.bench.machine import Machine
from nearline.errors import PermanentError
from training.reproduce.catalogue import catalogue
from training.reproduce.commands import reproduce
from training.reproduce.comparison import Check, Comparison, Gate, Origin, Row
from training.reproduce.page import Made, failures, number, to_markdown

MADE = Made(
    name="toy",
    command="make reproduce DATASET=toy",
    machine=Machine("a CPU", 2, 24.0, "Linux", "3.11", 0.5),
    at=datetime(2026, 11, 21, 12, 0, tzinfo=UTC),
    seconds=75.0,
    code_version="0.1.0+abc",
)
TOY = Comparison(
    title="Next item",
    protocol="Full ranking.",
    statistics={"customers": 6_040, "density": 0.05},
    metrics=("ndcg_at_10", "log_likelihood"),
    rows=(
        Row("sequence model", Origin.OURS, {"ndcg_at_10": 0.17, "log_likelihood": -9_582.43}),
        Row("rules", Origin.SIMPLE, {"ndcg_at_10": 0.1475}, "gap 5"),
        Row("SASRec", Origin.PUBLISHED, {"ndcg_at_10": 0.1821}, "the paper"),
    ),
    gates=(
        Gate("sequence model", "ndcg_at_10", 0.168),
        Gate("sequence model", "ndcg_at_10", 0.182, stretch=True),
    ),
    checks=(Check("rules", "ndcg_at_10", 0.15),),
    seconds={"sequence model": 1_234.0},
    seed=7,
)


def test_the_page_shows_ours_simple_and_published_with_gates_and_how_it_was_made() -> None:
    page = to_markdown([TOY], MADE)

    assert "| **sequence model** | ours 我们 | 0.1700 | -9,582.43 | 1,234 |  |" in page
    assert "| rules | simple 简单 | 0.1475 |  |  | gap 5 |" in page
    assert "| SASRec | published 公开 | 0.1821 |  |  | the paper |" in page
    assert "| ≥ 0.168 | sequence model | ndcg_at_10 | 0.1700 | met 达到 |" in page
    assert "| ≥ 0.182 (stretch 努力目标) | sequence model | ndcg_at_10 | 0.1700 | **missed" in page
    assert "| 0.15 ± 5% | rules | ndcg_at_10 | 0.1475 | met 达到 |" in page
    assert "Full ranking. Seed 7." in page
    assert "6,040 customers, 0.05 density" in page
    assert "2026-11-21 12:00 UTC in 75 s, code 0.1.0+abc. a CPU, 2 cores" in page


def test_a_missed_stretch_goal_fails_nothing_a_missed_gate_or_check_does() -> None:
    assert failures([TOY]) == []

    gate = replace(TOY, gates=(Gate("sequence model", "ndcg_at_10", 0.171),))
    ceiling = replace(TOY, gates=(Gate("sequence model", "ndcg_at_10", 0.169, below=True),))
    check = replace(TOY, checks=(Check("rules", "ndcg_at_10", 0.1475 / 0.94),))

    assert [len(failures([one])) for one in (gate, ceiling, check)] == [1, 1, 1]


def test_a_figure_that_is_no_number_meets_no_gate() -> None:
    nothing = Row("sequence model", Origin.OURS, {"ndcg_at_10": float("nan")})

    assert len(failures([replace(TOY, rows=(nothing, TOY.rows[1]))])) == 1


def test_a_published_row_cannot_meet_a_gate() -> None:
    with pytest.raises(ValueError, match="which this run did not measure"):
        failures([replace(TOY, gates=(Gate("SASRec", "ndcg_at_10", 0.1),))])


def test_numbers_show_as_many_digits_as_their_size_bears() -> None:
    shown = [number(value) for value in (0.12345, 0.0019317, 1.0, 15.0, 5_668.0, -9_582.427)]

    assert shown == ["0.1235", "0.001932", "1.0000", "15", "5,668", "-9,582.43"]


def test_every_comparison_of_the_catalogue_exists_and_has_its_folder_in_the_public_data(
    shared: Path,
) -> None:
    for name, known in catalogue().items():
        assert find_spec(known.module), f"{name}: {known.module} is missing"
        assert all((shared / "data" / folder).is_dir() for folder in known.folders)


def test_the_command_lists_what_there_is_and_says_what_is_missing(tmp_path: Path) -> None:
    runner = CliRunner()

    assert all(name in runner.invoke(reproduce, []).output for name in catalogue())
    unknown = runner.invoke(reproduce, ["movielens_9m"]).exception
    assert isinstance(unknown, PermanentError)
    assert "there are movielens_1m, movielens_100k" in str(unknown)
    absent = runner.invoke(reproduce, ["telco", "--data", str(tmp_path)]).exception
    assert isinstance(absent, PermanentError)
    assert "telco needs the folder telco_churn/" in str(absent)


def test_groceries_runs_to_its_page_and_meets_every_count(
    shared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEARLINE_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NEARLINE_LANG", "en")
    learnt = tmp_path / "home" / "checkpoints" / "reproduce" / "groceries" / "model.pt"
    learnt.parent.mkdir(parents=True)
    learnt.touch()

    done = CliRunner().invoke(
        reproduce,
        ["groceries", "--data", str(shared / "data"), "--pages", str(tmp_path / "pages")],
    )

    assert done.exit_code == 0, done.output
    page = (tmp_path / "pages" / "reproduce-groceries.md").read_text()
    assert "| 410 exactly | association rules, whole numbers |" in page
    assert "missed" not in page
    assert not learnt.exists()  # What is done is done: the next run learns again.
