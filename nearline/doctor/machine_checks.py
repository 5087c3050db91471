"""Checks of the machine and of the installation: evidence in, result out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from nearline.doctor.result import Result, fail, ok, warn
from nearline.say import Words

OLDEST_PYTHON = (3, 11)
_FAIL_BELOW_GB, _WARN_BELOW_GB = 0.5, 1.5
_SHOWN = 4


def python_version(version: tuple[int, int, int]) -> Result:
    text = ".".join(map(str, version))
    if version[:2] >= OLDEST_PYTHON:
        return ok("python", f"Python {text}", f"Python {text}")
    wanted = ".".join(map(str, OLDEST_PYTHON))
    return fail(
        "python",
        Words(f"Python {text}; {wanted} or newer is needed", f"Python {text}，需要 {wanted} 以上"),
        Words(
            f"Install Python {wanted} and make the environment again: rm -rf .venv; make env",
            f"安装 Python {wanted} 后重建环境：rm -rf .venv; make env",
        ),
    )


def packages(
    wanted: Mapping[str, str], installed: Mapping[str, str | None], own: frozenset[str]
) -> Result:
    """Whether what is installed is what is pinned.

    `own` names what Nearline itself imports: those must be there, in the pinned version; the
    rest (tools for tests) may be missing. Local suffixes such as `+cpu` make no difference.
    """
    odd = {
        name: found
        for name, version in wanted.items()
        if (found := installed.get(name)) is None or found.partition("+")[0] != version
    }
    if not odd:
        return ok(
            "packages",
            f"all {len(wanted)} pinned packages are installed",
            f"{len(wanted)} 个锁定的依赖均已安装",
        )
    told = ", ".join(
        f"{name} {found or 'missing'} (pinned: {wanted[name]})" for name, found in odd.items()
    )
    if len(odd) > _SHOWN:
        told = f"{', '.join(list(odd)[:_SHOWN])} and {len(odd) - _SHOWN} more"
    what = Words(f"differ from requirements.txt: {told}", f"与 requirements.txt 不一致：{told}")
    todo = Words("Run `make env`.", "运行 `make env`。")
    return fail("packages", what, todo) if own & odd.keys() else warn("packages", what, todo)


def disk(free_gb: float, home: str) -> Result:
    what = Words(f"{free_gb:.1f} GB free in {home}", f"{home} 剩余 {free_gb:.1f} GB")
    if free_gb >= _WARN_BELOW_GB:
        return ok("disk", what.en, what.zh)
    todo = Words(
        "Free some space, or choose another disk with NEARLINE_HOME=/path. When the disk is "
        "full, events are refused, not lost.",
        "清理空间，或用 NEARLINE_HOME=/path 换一个磁盘。磁盘写满时事件会被拒绝，而不会丢失。",
    )
    return fail("disk", what, todo) if free_gb < _FAIL_BELOW_GB else warn("disk", what, todo)


class PortState(StrEnum):
    """Who listens on a port."""

    FREE = "free"
    OURS = "ours"
    FOREIGN = "foreign"
    UNKNOWN = "unknown"  # somebody whom we may not see


@dataclass(frozen=True, slots=True)
class Port:
    """One port that Nearline uses. `variable` changes it."""

    number: int
    part: str
    variable: str
    state: PortState
    holder: str = ""  # process name and id, where they can be seen


def ports(found: Sequence[Port]) -> Result:
    foreign = [port for port in found if port.state is PortState.FOREIGN]
    unknown = [port for port in found if port.state is PortState.UNKNOWN]
    if foreign:
        told = ", ".join(f"{port.number} ({port.part}) by {port.holder}" for port in foreign)
        return fail(
            "ports",
            Words(f"taken by other programs: {told}", f"被其他程序占用：{told}"),
            _move(foreign),
        )
    if unknown:
        told = ", ".join(f"{port.number} ({port.part})" for port in unknown)
        return warn(
            "ports",
            Words(
                f"taken, and by whom cannot be seen: {told}", f"已被占用，但看不到占用者：{told}"
            ),
            _move(unknown),
        )
    ours = sum(port.state is PortState.OURS for port in found)
    free = len(found) - ours
    return ok(
        "ports",
        f"{ours} in use by Nearline, {free} free",
        f"Nearline 占用 {ours} 个，空闲 {free} 个",
    )


def _move(taken: Sequence[Port]) -> Words:
    # One variable may move two ports: the first of them is its own.
    moved = {port.variable: port.number + 100 for port in reversed(taken)}
    variables = ", ".join(f"{variable}={number}" for variable, number in reversed(moved.items()))
    return Words(
        f"Stop them, or choose other ports: {variables} (`nearline demo --any-port` chooses).",
        f"停止它们，或更换端口：{variables}（`nearline demo --any-port` 会自动选择）。",
    )
