"""How a report looks in a terminal."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from nearline.bench.report import Report, limit_text, notes
from nearline.say import say


def render(report: Report) -> RenderableType:
    """Both tables and the notes."""
    return Group(_latencies(report), _rates(report), *_notes(report))


def _latencies(report: Report) -> Table:
    table = Table(title=say("Milliseconds, real parts", "毫秒（真实部件）"), title_justify="left")
    table.add_column("what 指标", overflow="fold")
    for name in ("n", "p50", "p99", "max", "× p50", "× p99"):
        table.add_column(name, justify="right")
    table.add_column("p99 limit 上限")
    figures = report.figures
    for latency in figures.latencies:
        measured, times = latency.measured, figures.ratios(latency)
        is_floor = latency.key.startswith("floor")
        table.add_row(
            say(latency.title_en, latency.title_zh),
            str(measured.n),
            f"{measured.p50:.1f}",
            f"{measured.p99:.1f}",
            f"{measured.largest:.1f}",
            *((f"{times[0]:.1f}", f"{times[1]:.1f}") if times else ("", "")),
            Text(limit_text(latency), style="green" if latency.kept else "bold red"),
            style="dim" if is_floor else "",
        )
    return table


def _rates(report: Report) -> Table:
    table = Table(title=say("Events a second", "每秒事件数"), title_justify="left")
    table.add_column("what 指标", overflow="fold")
    table.add_column("events/s 每秒", justify="right")
    table.add_column("of its floor 占下限", justify="right")
    for rate in report.figures.rates:
        share = report.figures.share(rate)
        table.add_row(
            say(rate.title_en, rate.title_zh),
            f"{rate.per_s:,.0f}",
            "" if share is None else f"{share:.0%}",
            style="dim" if rate.key.startswith("floor") else "",
        )
    return table


def _notes(report: Report) -> list[Text]:
    return [
        Text(note, style="bold red" if note.startswith("FAILED") else "")
        for note in notes(report.figures)
    ]
