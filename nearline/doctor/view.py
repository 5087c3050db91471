"""How a result looks in a terminal."""

from __future__ import annotations

from rich.text import Text

from nearline.doctor.result import Level, Result

_MARKS = {Level.OK: ("✓", "green"), Level.WARN: ("!", "yellow"), Level.FAIL: ("✗", "bold red")}


def render(result: Result) -> Text:
    """A line with what was found, and under it what to do."""
    mark, style = _MARKS[result.level]
    text = Text.assemble((f"{mark} ", style), (f"{result.name:<14}", "dim"), str(result.what))
    if str(result.todo):
        text.append(f"\n{'':<16}→ {result.todo}", style="italic")
    return text
