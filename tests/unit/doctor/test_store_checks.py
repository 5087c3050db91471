from __future__ import annotations

import pytest

from nearline.doctor import store_checks
from nearline.doctor.result import Level
from nearline.doctor.store_checks import Behind

SAFE = {"appendonly": "yes", "appendfsync": "always"}


def test_a_server_that_does_not_answer_fails_with_the_command_that_starts_one() -> None:
    result = store_checks.reachable("127.0.0.1:7379/0", "ConnectionError")

    assert result.level is Level.FAIL
    assert "nearline up" in result.todo.en
    assert store_checks.reachable("127.0.0.1:7379/0", None).level is Level.OK


@pytest.mark.parametrize(
    ("text", "level"),
    [("7.0.15", Level.OK), ("9.1.2", Level.OK), ("6.2.14", Level.FAIL), ("unknown", Level.FAIL)],
)
def test_a_server_older_than_7_0_fails(text: str, level: Level) -> None:
    assert store_checks.version(text).level is level


@pytest.mark.parametrize(
    "config",
    [{**SAFE, "appendfsync": "everysec"}, {**SAFE, "appendonly": "no"}, {}],
)
def test_a_server_that_can_lose_acknowledged_events_fails(config: dict[str, str]) -> None:
    result = store_checks.durability(config)

    assert result.level is Level.FAIL
    assert "CONFIG SET appendfsync always" in result.todo.en


def test_a_durable_server_is_well_and_a_secretive_one_warns() -> None:
    assert store_checks.durability(SAFE).level is Level.OK
    assert store_checks.durability(None).level is Level.WARN


@pytest.mark.parametrize(
    ("policy", "level"),
    [("noeviction", Level.OK), ("allkeys-lru", Level.FAIL), (None, Level.WARN)],
)
def test_a_server_that_evicts_fails(policy: str | None, level: Level) -> None:
    assert store_checks.eviction(policy).level is level


def test_another_number_of_partitions_fails_and_names_the_right_one() -> None:
    result = store_checks.partitions(held=4, asked=8)

    assert result.level is Level.FAIL
    assert result.todo.en == "Set NEARLINE_PARTITIONS=4."
    assert store_checks.partitions(held=4, asked=4).level is Level.OK
    assert store_checks.partitions(held=None, asked=4).level is Level.OK


def test_a_worker_that_follows_is_well() -> None:
    found = [Behind(0, None, holder=True), Behind(1, 0.2, holder=True)]

    assert store_checks.worker_lag(found).level is Level.OK


@pytest.mark.parametrize(("waiting_s", "level"), [(3.0, Level.WARN), (60.0, Level.FAIL)])
def test_a_worker_that_cannot_keep_up_is_told_by_partition(waiting_s: float, level: Level) -> None:
    result = store_checks.worker_lag([Behind(0, None, True), Behind(3, waiting_s, True)])

    assert result.level is level
    assert f"3: {waiting_s:.1f} s" in result.what.en
    assert "worker-lag.md" in result.todo.en


def test_events_that_wait_for_nobody_call_for_a_worker() -> None:
    result = store_checks.worker_lag([Behind(0, 60.0, holder=False)])

    assert result.level is Level.FAIL
    assert result.todo.en == "Start `nearline worker`."


def test_an_idle_log_without_a_worker_warns_before_events_come() -> None:
    result = store_checks.worker_lag([Behind(0, None, True), Behind(1, None, False)])

    assert result.level is Level.WARN
    assert "no stream worker holds partitions 1" in result.what.en


@pytest.mark.parametrize(
    ("waiting_s", "level"), [(12.0, Level.OK), (100.0, Level.WARN), (3_600.0, Level.FAIL)]
)
def test_history_may_be_as_late_as_its_flushing_and_not_much_more(
    waiting_s: float, level: Level
) -> None:
    assert store_checks.history_lag([Behind(0, waiting_s, True)], flush_s=10.0).level is level


@pytest.mark.parametrize(("waiting", "level"), [(0, Level.OK), (9, Level.OK), (10, Level.WARN)])
def test_a_hundredth_of_all_events_rejected_warns(waiting: int, level: Level) -> None:
    assert store_checks.dead_letters(waiting, received=1_000).level is level


def test_missing_consent_on_most_events_warns_that_the_sender_may_forget_it() -> None:
    result = store_checks.consent({"received": 100, "consent_refused": 90})

    assert result.level is Level.WARN
    assert "categoryPreferences" in result.todo.en
    assert store_checks.consent({"received": 100, "consent_refused": 10}).level is Level.OK
    assert store_checks.consent({}).level is Level.OK


@pytest.mark.parametrize(
    ("ahead_s", "level"), [(0.1, Level.OK), (-2.0, Level.WARN), (60.0, Level.FAIL)]
)
def test_clocks_that_disagree_warn_then_fail(ahead_s: float, level: Level) -> None:
    assert store_checks.clock(ahead_s).level is level
