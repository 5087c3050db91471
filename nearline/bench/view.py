"""How a report looks in a terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from nearline.bench.goals import goals
from nearline.bench.page import goal_cells, latency_cells, notes
from nearline.bench.report import Report
from nearline.say import say

_STYLE = {True: "green", False: "bold red", None: "dim"}


def render(report: Report) -> RenderableType:
    """All tables and the notes."""
    return Group(_latencies(report), _rates(report), _goals(report), *_notes(report))


def _latencies(report: Report) -> Table:
    table = Table(title=say("Milliseconds, real parts", "毫秒（真实部件）"), title_justify="left")
    table.add_column("what 指标", overflow="fold")
    for name in ("n", "p50", "p99", "max", "× p50", "× p99", "429", "asking"):
        table.add_column(name, justify="right")
    for latency in report.figures.latencies:
        table.add_row(
            say(latency.title_en, latency.title_zh),
            *latency_cells(report.figures, latency),
            style="dim" if latency.is_floor else "",
        )
    return table


def _rates(report: Report) -> Table:
    table = Table(title=say("A second", "每秒"), title_justify="left")
    table.add_column("what 指标", overflow="fold")
    table.add_column("a second 每秒", justify="right")
    table.add_column("of its floor 占下限", justify="right")
    for rate in report.figures.rates:
        share = report.figures.share(rate)
        table.add_row(
            say(rate.title_en, rate.title_zh),
            f"{rate.per_s:,.0f} {rate.unit}",
            "" if share is None else f"{share:.0%}",
            style="dim" if rate.is_floor else "",
        )
    return table


def _goals(report: Report) -> Table:
    table = Table(title=say("Goals", "目标"), title_justify="left")
    table.add_column("goal 目标", overflow="fold")
    for name in ("measured 实测", "limit 上限"):
        table.add_column(name, justify="right")
    table.add_column("")
    for goal in goals(report.figures):
        measured, limit, kept = goal_cells(goal)
        table.add_row(
            say(goal.title_en, goal.title_zh), measured, limit, Text(kept, style=_STYLE[goal.kept])
        )
    return table


def _notes(report: Report) -> list[Text]:
    return [
        Text(note, style="bold red" if note.startswith("FAILED") else "")
        for note in notes(report.figures)
    ]
