"""The plain `feast` command works in feature_repo/, and so do ours."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
from click.testing import CliRunner

from feature_repo.commands import features
from feature_repo.environment import variables
from nearline import offline
from nearline.contracts.position import LogPosition
from nearline.embedded.valkey import free_port
from nearline.feast_layout import CUSTOMER_VIEW
from nearline.online import COMMIT_SCRIPT, commit_args
from nearline.settings import Settings
from nearline.transforms import customer
from nearline.transforms.columns import customer_columns
from tests.unit.features.test_offline_rows import seeded, write

pytestmark = [pytest.mark.redis, pytest.mark.slow]

REPO = Path(__file__).parents[3] / "feature_repo"
START_LIMIT_S = 180.0  # Importing Feast's server takes seconds, and minutes on a busy machine.


def environment(settings: Settings) -> dict[str, str]:
    ours = {"NEARLINE_HOME": str(settings.home), "NEARLINE_REDIS_URL": settings.redis_url}
    return {**os.environ, **ours, **variables(settings), "NEARLINE_LANG": "en"}


def feast(*words: str) -> list[str]:
    return [sys.executable, "-c", "from feast.cli.cli import cli; cli()", *words]


@contextmanager
def running(command: list[str], settings: Settings) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        command, cwd=REPO, env=environment(settings), stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def answer_of(process: subprocess.Popen[bytes], url: str) -> tuple[int, bytes]:
    deadline = time.monotonic() + START_LIMIT_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=10) as reply:
                return reply.status, reply.read()
        except (urllib.error.URLError, TimeoutError):
            time.sleep(0.2)
    raise AssertionError(f"no answer from {url}; the process ended with {process.poll()}")


def test_feast_apply_registers_the_same_as_ours(settings: Settings, store: Any) -> None:
    from feature_repo.retrieval import open_store

    done = subprocess.run(
        feast("apply"),
        cwd=REPO,
        env=environment(Settings(home=settings.home / "other", redis_url=settings.redis_url)),
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    other = open_store(Settings(home=settings.home / "other", redis_url=settings.redis_url))
    for mine, theirs in (
        (store.list_feature_views(), other.list_feature_views()),
        (store.list_on_demand_feature_views(), other.list_on_demand_feature_views()),
        (store.list_feature_services(), other.list_feature_services()),
        (store.list_entities(), other.list_entities()),
    ):
        assert {entry.name for entry in mine} == {entry.name for entry in theirs}
        assert len(mine) == 2


def test_feast_reads_one_file_of_the_folder() -> None:
    from feast.repo_operations import get_repo_files

    assert [path.name for path in get_repo_files(REPO)] == ["definitions.py"]


def test_applying_again_changes_nothing(settings: Settings, store: Any) -> None:
    from feature_repo.retrieval import apply

    again = apply(settings)

    views = again.list_feature_views()
    assert [view.current_version_number or 0 for view in views] == [0, 0]


def test_feasts_ui_starts_and_shows_the_views(settings: Settings, store: Any) -> None:
    port = free_port()
    command = feast("ui", "--host", "127.0.0.1", "--port", str(port))
    with running(command, settings) as process:
        page = answer_of(process, f"http://127.0.0.1:{port}/")
        views = answer_of(process, f"http://127.0.0.1:{port}/api/v1/feature_views?project=nearline")

    assert page[0] == views[0] == 200
    assert b"<html" in page[1]
    assert b"customer_activity" in views[1]


def test_importing_the_store_leaves_the_metrics_of_the_process_alone() -> None:
    code = (
        "import os; before = dict(os.environ); import feature_repo.retrieval; "
        "import prometheus_client.values as v; "
        "assert dict(os.environ) == before; assert v.ValueClass is v.MutexValue"
    )
    clean = {name: value for name, value in os.environ.items() if "PROMETHEUS" not in name}

    subprocess.run([sys.executable, "-c", code], env=clean, check=True)


def run(settings: Settings, *words: str) -> Any:
    return CliRunner().invoke(features, words, env=environment(settings), catch_exceptions=False)


def test_snapshot_says_what_it_made_and_then_that_nothing_changed(settings: Settings) -> None:
    write(settings.history, seeded(1, 40))

    first, second = run(settings, "snapshot"), run(settings, "snapshot")

    assert "40 events made" in first.output
    assert "History has not changed" in second.output
    assert offline.current(settings.offline) is not None


def test_get_shows_a_customers_features_with_their_meaning(
    settings: Settings, valkey: redis.Redis
) -> None:
    state = customer.fold(seeded(2, 60))
    valkey.register_script(COMMIT_SCRIPT)(
        keys=[CUSTOMER_VIEW.key("客户")],
        args=commit_args(CUSTOMER_VIEW, customer_columns(state), 5, LogPosition(0, 1, 0), 0),
    )

    shown = run(settings, "get", "--customer", "客户")

    assert shown.exit_code == 0
    assert "views_total" in shown.output
    assert str(state.views_total) in shown.output


def test_get_needs_one_entity(settings: Settings) -> None:
    assert "--customer ID or --item ID" in run(settings, "get").output


def test_env_prints_what_the_yaml_asks_for(settings: Settings) -> None:
    lines = run(settings, "env").output.splitlines()

    assert f"export NEARLINE_FEAST_REGISTRY={settings.registry}" in lines
    assert all(line.startswith("export NEARLINE_") for line in lines)


def test_docs_check_passes(settings: Settings) -> None:
    assert "up to date" in run(settings, "docs", "--check").output
