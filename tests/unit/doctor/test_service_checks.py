from __future__ import annotations

import pytest

from nearline.doctor import service_checks
from nearline.doctor.result import Level, Result, Words, fail, failures, ok, to_json
from nearline.doctor.service_checks import Champion, Health

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


def api(document: dict[str, str] | None, status: int | None = 200) -> Result:
    return service_checks.api(Health(status, document), "http://127.0.0.1:7310", "4")


def test_an_api_that_serves_the_champion_is_well() -> None:
    assert api(WELL).level is Level.OK


def test_an_api_that_is_down_fails() -> None:
    assert api(None, status=None).level is Level.FAIL


def test_an_api_with_fallbacks_warns() -> None:
    assert api({**WELL, "status": "degraded"}).level is Level.WARN


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
