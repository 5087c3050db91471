from __future__ import annotations

import pytest

from nearline.doctor.machine_checks import (
    Port,
    PortState,
    disk,
    packages,
    ports,
    python_version,
)
from nearline.doctor.result import Level


def test_python_3_11_and_newer_are_well() -> None:
    assert python_version((3, 11, 0)).level is Level.OK
    assert python_version((3, 14, 2)).level is Level.OK


def test_an_older_python_fails_and_says_how_to_mend_it() -> None:
    result = python_version((3, 10, 12))

    assert result.level is Level.FAIL
    assert "3.10.12" in result.what.en
    assert "make env" in result.todo.en


def test_a_build_suffix_makes_no_difference() -> None:
    found = packages({"torch": "2.13.0"}, {"torch": "2.13.0+cpu"}, frozenset({"torch"}))

    assert found.level is Level.OK


@pytest.mark.parametrize("installed", [None, "2.12.0"])
def test_a_package_of_our_own_that_is_missing_or_odd_fails(installed: str | None) -> None:
    result = packages({"redis": "7.4.1"}, {"redis": installed}, frozenset({"redis"}))

    assert result.level is Level.FAIL
    assert f"redis {installed or 'missing'} (pinned: 7.4.1)" in result.what.en


def test_an_odd_tool_is_only_a_warning() -> None:
    result = packages({"pytest": "9.2.0"}, {"pytest": "9.0.0"}, frozenset({"redis"}))

    assert result.level is Level.WARN


def test_many_odd_packages_are_told_in_one_line() -> None:
    wanted = {f"package-{number}": "1.0" for number in range(30)}

    result = packages(wanted, {}, frozenset(wanted))

    assert "and 26 more" in result.what.en


@pytest.mark.parametrize(
    ("free_gb", "level"), [(40.0, Level.OK), (1.0, Level.WARN), (0.2, Level.FAIL)]
)
def test_a_disk_that_fills_up_warns_then_fails(free_gb: float, level: Level) -> None:
    assert disk(free_gb, "home").level is level


def port(state: PortState) -> Port:
    return Port(7300, "collector (HTTP)", "NEARLINE_COLLECTOR_HTTP_PORT", state, "nginx (41)")


def test_ports_that_are_free_or_our_own_are_well() -> None:
    result = ports([port(PortState.FREE), port(PortState.OURS)])

    assert (result.level, result.what.en) == (Level.OK, "1 in use by Nearline, 1 free")


def test_a_port_of_another_program_fails_and_names_both() -> None:
    result = ports([port(PortState.FOREIGN), port(PortState.FREE)])

    assert result.level is Level.FAIL
    assert "7300 (collector (HTTP)) by nginx (41)" in result.what.en
    assert "NEARLINE_COLLECTOR_HTTP_PORT=7400" in result.todo.en


def test_a_variable_that_moves_two_ports_is_told_once() -> None:
    taken = [
        Port(number, part, "NEARLINE_METRICS_PORT", PortState.UNKNOWN)
        for number, part in ((7330, "worker"), (7331, "history"))
    ]

    assert "ports: NEARLINE_METRICS_PORT=7430 (" in ports(taken).todo.en


def test_a_port_of_we_know_not_whom_warns() -> None:
    assert ports([port(PortState.UNKNOWN)]).level is Level.WARN
