"""`nearline train` and `nearline models` as a person meets them."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from click import Command
from click.testing import CliRunner, Result

from nearline.errors import PermanentError
from tests.integration.training.conftest import TrainedShop
from tests.unit.training.histories import START_US, met, two_tastes, write
from training.commands import models, train
from training.datasets import NotEnoughHistory
from training.recipes import RECIPES
from training.retraining_commands import retrain

pytestmark = pytest.mark.slow


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("NEARLINE_HOME", str(tmp_path))
    monkeypatch.setenv("NEARLINE_LANG", "en")
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path


def run(*words: str) -> Result:
    command = {"train": train, "models": models}[words[0]]
    return CliRunner().invoke(command, list(words[1:]))


def test_an_empty_shop_is_refused_with_what_to_do(home: Path) -> None:
    result = run("train", "--quick")

    assert isinstance(result.exception, NotEnoughHistory)
    assert "nearline shop generate" in str(result.exception)


@pytest.mark.parametrize(
    ("who", "what"), [(1, 1), (1, 30), (30, 1)], ids=["one of each", "one customer", "one item"]
)
def test_a_history_too_small_trains_or_is_refused_in_a_sentence(
    home: Path, who: int, what: int
) -> None:
    write(
        home / "history",
        [met(f"c{n % who}", f"i{n % what}", START_US + n * 3_600_000_000) for n in range(60)],
    )

    result = run("train", "--quick")

    if result.exception:
        assert isinstance(result.exception, NotEnoughHistory)
        assert what == 1
    else:
        assert "is challenger" in result.output


def test_prices_that_nobody_stated_are_no_obstacle(home: Path) -> None:
    bare = [
        met(event.customer_id, event.lines[0].item_id, event.occurred_at_us, name=event.name)
        for event in two_tastes(customers=30)
    ]
    write(home / "history", bare)

    result = run("train", "--quick")

    assert result.exception is None, result.output
    assert "Version 1 is challenger" in result.output


def test_models_are_listed_promoted_and_rolled_back(
    trained: TrainedShop, home: Path, tmp_path: Path
) -> None:
    shutil.copy(trained.settings.home / "mlflow.db", home)  # Others read the aliases there.
    (tmp_path / "any.yaml").write_text("rules: []\n")

    assert isinstance(run("models", "rollback").exception, PermanentError)
    assert "challenger" in run("models", "list").output
    promoted = run("models", "promote", trained.version, "--policy", str(tmp_path / "any.yaml"))

    assert promoted.output == f"Version {trained.version} is champion.\n"
    assert "champion" in run("models", "list").output


def test_ctrl_c_keeps_what_the_encoder_has_learnt_and_registers_nothing(home: Path) -> None:
    write(home / "history", two_tastes(customers=60))
    process = subprocess.Popen(
        [sys.executable, "-m", "nearline", "train"], env={**os.environ}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 120
        while not list(home.glob("checkpoints/encoder-*.pt")):
            assert process.poll() is None, process.stderr.read()  # type: ignore[union-attr]
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    finally:
        process.kill()

    assert process.returncode == 130
    assert "run the same command to go on" in said
    assert "Traceback" not in said
    assert list(home.glob("checkpoints/encoder-*.pt"))
    assert run("models", "list").output.startswith("No bundle is registered yet")


@pytest.mark.parametrize("command", [train, retrain], ids=["train", "retrain"])
def test_a_recipe_that_there_is_not_is_answered_with_those_there_are(
    home: Path, command: Command
) -> None:
    result = CliRunner().invoke(command, ["--recipe", "demo_shopp"])

    assert result.exit_code == 2
    assert all(f"'{name}'" in result.output for name in RECIPES)
    assert [make().name for make in RECIPES.values()] == list(RECIPES)
