from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nearline import retraining
from nearline.doctor import probe_services, service_checks
from nearline.doctor.result import Level, Result, fail, failures, ok, to_json
from nearline.doctor.service_checks import Champion, Health
from nearline.retraining import Retraining, Run, Schedule, Verdict
from nearline.say import Words

WELL = {"status": "ok", "bundle": "4", "bundle_refused": ""}


@pytest.mark.parametrize("missing", [None, {"customer_activity"}])
def test_a_feast_registry_that_is_missing_or_incomplete_fails(missing: set[str] | None) -> None:
    result = service_checks.feast_registry("home/feast_registry.db", missing)

    assert result.level is Level.FAIL
    assert "nearline features apply" in result.todo.en
    assert service_checks.feast_registry("home/feast_registry.db", set()).level is Level.OK


@pytest.mark.parametrize(
    "found", [Champion(), Champion("4", "items.json was changed"), Champion(problem="MLflow down")]
)
def test_a_champion_that_is_missing_or_damaged_fails(found: Champion) -> None:
    result = service_checks.champion(found)

    assert result.level is Level.FAIL
    assert "no-champion.md" in result.todo.en


def test_a_verified_champion_is_named() -> None:
    assert "bundle 4" in service_checks.champion(Champion("4")).what.en


@pytest.mark.parametrize("found", [Health(error="no answer"), Health(503, {})])
def test_a_collector_that_is_down_fails_with_the_command_that_starts_it(found: Health) -> None:
    result = service_checks.collector(found, "http://127.0.0.1:7300")

    assert result.level is Level.FAIL
    assert "nearline collector" in result.todo.en
    assert service_checks.collector(Health(200, {}), "x").level is Level.OK


def api(document: dict[str, Any] | None, status: int | None = 200) -> Result:
    return service_checks.api(Health(status, document), "http://127.0.0.1:7310", "4")


def test_an_api_that_serves_the_champion_is_well() -> None:
    assert api(WELL).level is Level.OK


def test_an_api_that_is_down_fails() -> None:
    assert api(None, status=None).level is Level.FAIL


def test_an_api_with_fallbacks_warns() -> None:
    assert api({**WELL, "status": "degraded"}).level is Level.WARN


def test_an_api_that_does_not_reach_the_registry_says_so_and_blames_no_fallback() -> None:
    result = api({**WELL, "status": "degraded", "registry": False})

    assert result.level is Level.WARN
    assert "do not reach the registry" in result.what.en
    assert "MLFLOW_TRACKING_URI" in result.todo.en
    assert "fallback" not in result.what.en


def test_an_api_whose_policy_files_have_mistakes_names_the_command_that_finds_them() -> None:
    result = api({**WELL, "status": "degraded", "policy_refused": "scenes.yaml:3: sorces"})

    assert result.level is Level.WARN
    assert "those before them still hold" in result.what.en
    assert "nearline scenes check" in result.todo.en


def test_an_api_that_refused_the_champion_says_why() -> None:
    result = api({**WELL, "bundle": "3", "bundle_refused": "its features differ"})

    assert result.level is Level.WARN
    assert "its features differ" in result.what.en


def test_an_api_behind_the_champion_warns() -> None:
    assert "serves bundle 3, champion is 4" in api({**WELL, "bundle": "3"}).what.en


def test_the_json_has_stable_names_and_the_number_of_failures() -> None:
    results = [ok("disk", "much", "多"), fail("redis", Words("down", "断"), Words("start", "启"))]

    assert failures(results) == 1
    assert b'"failures": 1' in to_json(results)
    assert b'"name": "redis"' in to_json(results)


@pytest.mark.parametrize(
    ("last_success_h", "every_h", "level"),
    [
        (None, None, Level.OK),  # nobody asked for it
        (25.9, 24.0, Level.OK),
        (26.1, 24.0, Level.WARN),
        (26.1, 6.0, Level.WARN),  # once a day is what we hold ourselves to
        (40.0, 48.0, Level.OK),
        (None, 24.0, Level.WARN),
    ],
)
def test_retraining_that_did_not_succeed_for_26_hours_warns(
    last_success_h: float | None, every_h: float | None, level: Level
) -> None:
    result = service_checks.retraining(last_success_h, every_h)

    assert result.level is level
    assert ("nearline retrain --status" in result.todo.en) == (level is Level.WARN)


def test_hours_since_retraining_are_read_from_its_file(tmp_path: Path) -> None:
    run = Run(why="", started_us=0, seconds=1.0, verdict=Verdict.PROMOTED, sentence="")
    assert probe_services.retraining_hours(tmp_path) == (None, None)

    retraining.write(tmp_path, Retraining(runs=[run]))
    retraining.write_schedule(tmp_path, Schedule(21_600_000_000))
    ago_h, every_h = probe_services.retraining_hours(tmp_path)
    assert every_h == 6.0
    assert ago_h is not None
    assert ago_h > 400_000  # since 1970

    (tmp_path / "retraining.json").write_text("{")
    assert probe_services.retraining_hours(tmp_path) == (None, 24.0)
