"""Which system is meant: a demo's folder; what runs here, its home and its ports."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from nearline.embedded.running import (
    DEMO,
    DEMO_OF_EVENTS,
    demo_home,
    marker_of,
    of_what_runs,
    written,
)
from nearline.errors import PermanentError
from nearline.settings import Settings

PORTS = {"api_http_port": 41_001, "redis_port": 41_002}


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NEARLINE_HOME", "NEARLINE_API_HTTP_PORT", "NEARLINE_REDIS_PORT"):
        monkeypatch.delenv(name, raising=False)


def runs(home: Path) -> None:
    home.mkdir(parents=True, exist_ok=True)
    marker_of(home).write_text(written("abc", PORTS))


@pytest.mark.parametrize("name", [DEMO, DEMO_OF_EVENTS])
@pytest.mark.parametrize("home", ["", DEMO, DEMO_OF_EVENTS])
@pytest.mark.parametrize("made", [False, True])
def test_a_demo_has_one_folder_whether_nearline_home_names_it_or_what_holds_it(
    tmp_path: Path, home: str, name: str, made: bool
) -> None:
    if made:
        for folder in ("history", "stages"):
            (tmp_path / home / folder).mkdir(parents=True)

    assert demo_home(tmp_path / home, name) == tmp_path / name


def test_a_shop_that_is_called_demo_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / DEMO / "history").mkdir(parents=True)

    assert demo_home(tmp_path / DEMO, DEMO) == tmp_path / DEMO / DEMO
    for home in (tmp_path, tmp_path / DEMO_OF_EVENTS):
        with pytest.raises(PermanentError, match="history that no demo has made"):
            demo_home(home, DEMO)


def test_where_nothing_runs_the_settings_stay_as_they_are(tmp_path: Path) -> None:
    assert of_what_runs(Settings(home=tmp_path)) == Settings(home=tmp_path)


def test_a_running_systems_ports_are_those_it_chose(tmp_path: Path) -> None:
    runs(tmp_path)

    assert of_what_runs(Settings(home=tmp_path)) == Settings(
        home=tmp_path, api_http_port=41_001, redis_port=41_002
    )


def test_a_demo_that_runs_is_found_unless_a_home_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs(tmp_path / "demo")

    assert of_what_runs(Settings(home=tmp_path)).home == tmp_path / "demo"
    monkeypatch.setenv("NEARLINE_HOME", str(tmp_path))
    assert of_what_runs(Settings(home=tmp_path)) == Settings(home=tmp_path)


def test_a_port_that_the_environment_names_is_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs(tmp_path)
    monkeypatch.setenv("NEARLINE_API_HTTP_PORT", "7310")

    found = of_what_runs(Settings(home=tmp_path))

    assert (found.api_http_port, found.redis_port) == (7_310, 41_002)


@pytest.mark.parametrize(
    "marker",
    [
        "",
        "{",
        json.dumps({"stack": "abc", "pid": os.getpid()}),  # of a version that told no ports
        json.dumps({"stack": "abc", "pid": 2**22 + 1, "ports": PORTS}),  # killed
        json.dumps({"stack": "abc", "ports": PORTS}),
    ],
)
def test_a_marker_that_says_nothing_of_now_changes_no_port(tmp_path: Path, marker: str) -> None:
    marker_of(tmp_path).write_text(marker)

    assert of_what_runs(Settings(home=tmp_path)) == Settings(home=tmp_path)
