"""What a check found, in words for people and in words for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import msgspec

from nearline.say import Words


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


NOTHING = Words("", "")


@dataclass(frozen=True, slots=True)
class Result:
    """One check. `todo` says what to do and is empty where nothing is wrong."""

    name: str
    level: Level
    what: Words
    todo: Words = NOTHING


def ok(name: str, en: str, zh: str) -> Result:
    return Result(name, Level.OK, Words(en, zh))


def warn(name: str, what: Words, todo: Words) -> Result:
    return Result(name, Level.WARN, what, todo)


def fail(name: str, what: Words, todo: Words) -> Result:
    return Result(name, Level.FAIL, what, todo)


def not_checked(name: str, because: Words) -> Result:
    """A check whose ground is missing: something else has failed already."""
    return Result(
        name,
        Level.WARN,
        Words(f"not checked: {because.en}", f"未检查：{because.zh}"),
        Words("Mend that first.", "请先解决该问题。"),
    )


def failures(results: Sequence[Result]) -> int:
    return sum(result.level is Level.FAIL for result in results)


def to_json(results: Sequence[Result]) -> bytes:
    """The results for programs: English sentences and stable names, indented."""
    document = {
        "failures": failures(results),
        "results": [
            {
                "name": result.name,
                "level": result.level.value,
                "what": result.what.en,
                "do": result.todo.en,
            }
            for result in results
        ],
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=2)
