"""Retraining through the real command: what it leaves, whatever happens to it."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from rich.console import Console

from nearline import registry, retraining
from nearline.clock import SystemClock, utc
from nearline.contracts.bundle import CHALLENGER, CHAMPION, verify
from nearline.errors import PermanentError
from nearline.retraining import Verdict
from nearline.settings import Settings
from nearline.transforms.buckets import HOUR_US
from tests.unit.training.histories import START_US, met, two_tastes, write
from training import job, lock
from training.model_commands import REFUSED
from training.progress import Bars
from training.recipes import quick
from training.retraining import Asked, once
from training.tracking import Registry

pytestmark = pytest.mark.slow

NOTHING_ASKED = "rules: []\n"
TOO_MUCH = "rules: [{metric: encoder_ndcg_at_10, required: true, at_least: 1.1}]\n"
# Every stage is seconds away from the start: kills fall into all of them.
STAGES = (
    "checkpoints/encoder-*.pt",
    "checkpoints/bundle-*",
    "checkpoints/bundle-*/manifest.json",
    "mlflow_artifacts/*/artifacts/bundle/*",
)


class Home:
    """A small shop's folder, and the command on it."""

    def __init__(self, folder: Path) -> None:
        self.settings = Settings(home=folder, redis_url="redis://127.0.0.1:1/0")
        self.lenient, self.strict = folder / "lenient.yaml", folder / "strict.yaml"
        write(self.settings.history, two_tastes(customers=40))
        self.lenient.write_text(NOTHING_ASKED)
        self.strict.write_text(TOO_MUCH)

    @property
    def environ(self) -> Mapping[str, str]:
        own = {"NEARLINE_HOME": str(self.settings.home), "NEARLINE_LANG": "en", "COLUMNS": "300"}
        kept = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"}
        return {**kept, **own, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE"}

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "nearline", "retrain", *words], env=self.environ, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def retrain(self, *words: str) -> tuple[int, str]:
        process = self.start("--quick", *words)
        said, _ = process.communicate(timeout=1_500)
        return process.returncode, said

    def news(self, number: int) -> None:
        """One more day, and an item that nobody has met."""
        at_us = START_US + (31 + number) * 86_400_000_000
        day = [met(f"c{n:03d}", f"new{number}", at_us + n) for n in range(5)]
        day += [met(f"c{n:03d}", "i03", at_us + 60_000_000 + n) for n in range(5)]
        write(self.settings.history, day)

    @property
    def champion(self) -> str | None:
        return registry.resolve(self.settings.mlflow_uri, CHAMPION)

    @property
    def verdicts(self) -> list[Verdict]:
        return [run.verdict for run in retraining.read(self.settings.home).runs]

    def versions(self) -> list[str]:
        client = registry.client(self.settings.mlflow_uri)
        return [str(one.version) for one in client.search_model_versions("name = 'nearline'")]

    def leftovers(self) -> list[str]:
        home = self.settings.home
        found = [*home.glob("checkpoints/bundle-*"), *home.glob("checkpoints/*.tmp")]
        found += [*home.glob("offline/*/.*"), *home.glob(".*.tmp")]
        return [str(path.relative_to(home)) for path in found]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return Home(tmp_path_factory.mktemp("retraining"))


def test_the_first_run_promotes_and_without_news_nothing_is_trained(home: Home) -> None:
    code, said = home.retrain("--policy", str(home.lenient))
    assert (code, home.champion) == (0, "1"), said

    code, said = home.retrain("--policy", str(home.lenient))

    assert code == 0
    assert "history has not changed since the champion, version 1" in said
    assert home.versions() == ["1"]
    assert home.verdicts == [Verdict.PROMOTED, Verdict.UNCHANGED]
    first = retraining.read(home.settings.home).runs[0]
    assert (first.why, first.version, first.recipe) == ("asked for", "1", "quick")
    assert first.seconds > 1.0


def test_what_the_gate_refuses_is_registered_and_never_serves(home: Home) -> None:
    home.news(1)

    code, said = home.retrain("--policy", str(home.strict))

    assert code == REFUSED
    assert "at least 1.1 is asked" in said
    assert home.champion == "1"
    assert registry.resolve(home.settings.mlflow_uri, CHALLENGER) is None  # nobody is to try it
    assert home.verdicts[-1] is Verdict.REFUSED

    code, said = home.retrain("--policy", str(home.strict))  # nothing new to be refused for
    assert code == REFUSED
    assert "has not changed since version 2" in said
    assert home.versions() == ["2", "1"]


def test_who_was_rolled_back_is_not_trained_again_from_the_same_history(home: Home) -> None:
    home.news(2)
    code, said = home.retrain("--policy", str(home.lenient))
    assert (code, home.champion) == (0, "3"), said
    settings = home.settings
    Registry(settings.mlflow_uri, settings.mlflow_artifacts).promote("1")

    code, said = home.retrain("--policy", str(home.lenient))

    assert code == 0
    assert "version 3 has learnt from this history already" in said
    assert (home.champion, home.versions()) == ("1", ["3", "2", "1"])


def test_a_retraining_that_fails_leaves_the_champion(home: Home) -> None:
    home.news(2)
    (home.settings.home / "broken.yaml").write_text("rules: [{metric: a, at_lest: 1}]\n")

    code, said = home.retrain("--policy", str(home.settings.home / "broken.yaml"))

    assert code == 1
    assert "at_lest" in said
    assert home.champion == "1"
    assert home.verdicts[-1] is Verdict.FAILED


def test_a_policy_that_cannot_be_read_costs_no_training(tmp_path: Path) -> None:
    asked = retraining_of(tmp_path, "rules: [{metric: a, at_lest: 1}]\n")

    with pytest.raises(PermanentError, match="at_lest"):
        asked(never)

    (run,) = retraining.read(tmp_path).runs
    assert (run.verdict, run.version) == (Verdict.FAILED, "")


def test_a_champion_of_other_code_keeps_nobody_from_training(tmp_path: Path) -> None:
    asked = retraining_of(tmp_path, NOTHING_ASKED)
    settings = Settings(home=tmp_path, redis_url="redis://127.0.0.1:1/0")
    mlflow = Registry(settings.mlflow_uri, settings.mlflow_artifacts)
    client = registry.client(settings.mlflow_uri)
    client.create_registered_model("nearline")
    run = client.create_run(client.create_experiment("old", settings.mlflow_artifacts.as_uri()))
    client.log_text(run.info.run_id, '{"manifest_version": 0}', "bundle/manifest.json")
    client.create_model_version(
        "nearline", f"{run.info.artifact_uri}/bundle", run_id=run.info.run_id
    )
    mlflow.promote("1")
    begun: list[str] = []

    def fails(*_: object) -> job.Trained:
        begun.append("training")
        raise PermanentError("no luck today")

    with pytest.raises(PermanentError, match="no luck today"):
        asked(fails)

    assert begun == ["training"]
    assert job._line(mlflow, tmp_path) is None
    assert registry.resolve(settings.mlflow_uri, CHAMPION) == "1"


def never(*_: object) -> job.Trained:
    raise AssertionError


def retraining_of(home: Path, policy: str) -> Callable[[Callable[..., job.Trained]], object]:
    """`once` in this process, in a home with a small history; it wants what trains."""
    settings = Settings(home=home, redis_url="redis://127.0.0.1:1/0")
    write(settings.history, two_tastes(customers=5))
    (home / "policy.yaml").write_text(policy)
    asked = Asked(quick(), home / "policy.yaml", "test")

    def ask(train: Callable[..., job.Trained]) -> object:
        return once(settings, asked, SystemClock(), Bars(Console(quiet=True)), train)

    return ask


def test_beside_another_training_it_does_nothing(home: Home) -> None:
    before = home.verdicts
    with lock.held(home.settings.home, lock.TRAINING, "nearline train"):
        code, said = home.retrain()

    assert code == 1
    assert "nearline train (process" in said
    assert home.verdicts == before


@pytest.mark.soak
def test_killed_at_any_moment_the_champion_stays_and_the_next_run_completes(home: Home) -> None:
    if home.champion is None:
        assert home.retrain("--policy", str(home.lenient))[0] == 0
    champion, draw, versions = home.champion, random.Random(8), len(home.versions())
    for pattern in (None, *STAGES):
        home.news(3 + draw.randrange(1_000))
        before = set(home.settings.home.glob(pattern)) if pattern else set()
        process = home.start("--quick", "--policy", str(home.lenient))
        deadline = time.monotonic() + 1_500
        while process.poll() is None and time.monotonic() < deadline:
            if pattern is None:
                if retraining.read(home.settings.home).running:
                    time.sleep(draw.uniform(0.0, 3.0))
                    break
            elif set(home.settings.home.glob(pattern)) - before:
                break
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.communicate()

        assert process.returncode == -signal.SIGKILL, f"finished before {pattern}"
        assert home.champion == champion
        assert len(home.versions()) == versions  # nothing half is registered

    code, said = home.retrain("--policy", str(home.lenient))

    assert code == 0, said
    assert home.champion == str(versions + 1)
    assert home.verdicts[-2:] == [Verdict.KILLED, Verdict.PROMOTED]
    assert home.verdicts.count(Verdict.KILLED) == 1 + len(STAGES)
    assert home.leftovers() == []
    kept = registry.download(home.settings.mlflow_uri, home.champion, home.settings.bundles)
    assert verify(kept, home.champion).lineage.recipe == "quick"
    client = registry.client(home.settings.mlflow_uri)
    runs = client.search_runs([client.get_experiment_by_name("nearline").experiment_id])
    assert "RUNNING" not in {run.info.status for run in runs}


@pytest.mark.soak
def test_a_schedule_trains_says_what_comes_next_and_stops_when_asked(tmp_path: Path) -> None:
    home = Home(tmp_path)
    process = home.start("--every", "24h", "--recipe", "quick", "--policy", str(home.lenient))
    try:
        deadline = time.monotonic() + 1_500
        while time.monotonic() < deadline and process.poll() is None:
            last = retraining.read(home.settings.home).last
            if last:
                break
            time.sleep(0.1)
        assert last
        told, _ = home.start("--status").communicate(timeout=300)
        assert f"Next: {utc(last.started_us + 24 * HOUR_US):%Y-%m-%d %H:%M} UTC." in told
        second = home.start("--every", "24h")
        told, _ = second.communicate(timeout=300)
        assert second.returncode == 1
        assert "is at work" in told
        asked = time.monotonic()
        process.terminate()
        said, _ = process.communicate(timeout=90)
    finally:
        process.kill()

    assert process.returncode == 0, said
    assert time.monotonic() - asked < 60
    assert "Retraining every 24 h." in said
    assert "Next: " in said
    assert not lock.is_held(home.settings.home, lock.SCHEDULE)
    assert retraining.read(home.settings.home).running is None
    told, _ = home.start("--status").communicate(timeout=300)
    assert "No schedule runs here." in told
