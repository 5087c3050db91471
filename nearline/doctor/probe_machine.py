"""Looks at the machine and the installation; decides nothing."""

from __future__ import annotations

import re
import shutil
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

import psutil

import nearline
from nearline.doctor.machine_checks import Port, PortState
from nearline.embedded.stack import needed_ports
from nearline.embedded.valkey import port_is_free
from nearline.settings import Settings

_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;]+)\s*$")
_NAME = re.compile(r"^[A-Za-z0-9._-]+")
_OUR_WORDS = ("nearline", "valkey-server", "redis-server", "ray::", "raylet", "haproxy")


def pinned() -> dict[str, str] | None:
    """The exact pins of requirements.txt; None where this installation has no such file."""
    path = Path(nearline.__file__).parents[1] / "requirements.txt"
    if not path.is_file():
        return None
    matches = map(_PIN.match, path.read_text().splitlines())
    return {match[1].lower(): match[2] for match in matches if match}


def installed(names: list[str]) -> dict[str, str | None]:
    """The installed version of each package, None where it is missing."""
    found: dict[str, str | None] = {}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def own_packages() -> frozenset[str]:
    """What Nearline itself imports."""
    try:
        declared = requires("nearline") or []
    except PackageNotFoundError:
        return frozenset()
    names = (_NAME.match(text) for text in declared if "extra ==" not in text)
    return frozenset(name[0].lower() for name in names if name)


def free_gb(home: Path) -> float:
    """Space on the disk that holds, or will hold, a folder."""
    while not home.exists():
        home = home.parent
    return shutil.disk_usage(home).free / 1e9


def ports(settings: Settings) -> list[Port]:
    """Who listens on the ports of the settings, as far as we may see."""
    holders = _listeners()
    found: list[Port] = []
    for port in needed_ports(settings):
        state, holder = PortState.FREE, ""
        if not port_is_free(port.host, port.number):
            state, holder = _holder(holders.get(port.number))
        found.append(Port(port.number, port.part, port.variable, state, holder))
    return found


def _holder(process: psutil.Process | None) -> tuple[PortState, str]:
    if process is None:
        return PortState.UNKNOWN, ""
    try:
        name, words = process.name(), " ".join(process.cmdline())
    except psutil.Error:
        return PortState.UNKNOWN, ""
    ours = any(word in words or word in name for word in _OUR_WORDS)
    return (PortState.OURS if ours else PortState.FOREIGN), f"{name} ({process.pid})"


def _listeners() -> dict[int, psutil.Process]:
    try:
        connections = psutil.net_connections("tcp")
    except psutil.Error:
        return {}  # Some systems show these to their administrator only.
    found: dict[int, psutil.Process] = {}
    for connection in connections:
        if connection.status == psutil.CONN_LISTEN and connection.pid and connection.laddr:
            try:
                found[connection.laddr.port] = psutil.Process(connection.pid)
            except psutil.Error:
                continue  # It ended meanwhile.
    return found
