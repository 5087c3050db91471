"""A reproduction as a page and as tables on the terminal; every figure comes from the run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from rich.console import Console
from rich.table import Table

from nearline.bench.machine import Machine
from nearline.say import say
from training.reproduce.comparison import Check, Comparison, Gate, Origin, Row

_BESIDE = {
    Origin.OURS: "ours 我们",
    Origin.SIMPLE: "simple 简单",
    Origin.PUBLISHED: "published 公开",
}


@dataclass(frozen=True, slots=True)
class Made:
    """How the page came about."""

    name: str
    command: str
    machine: Machine
    at: datetime
    seconds: float  # of the whole run; what a checkpoint spared is not in it
    code_version: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """One gate or check with what was measured."""

    model: str
    metric: str
    asked: str
    measured: float
    met: bool
    stretch: bool


def verdicts(comparison: Comparison) -> list[Verdict]:
    """Each gate, then each check; raises ValueError when one names a model that was not run.

    A published row cannot meet anything: only what was measured in this run counts.
    """
    run = {row.model: row for row in comparison.rows if row.origin is not Origin.PUBLISHED}
    asked: list[Gate | Check] = [*comparison.gates, *comparison.checks]
    return [_verdict(one, run, comparison.title) for one in asked]


def failures(comparisons: Iterable[Comparison]) -> list[Verdict]:
    """The verdicts that fail a run: missed, and no stretch goal."""
    found = [one for comparison in comparisons for one in verdicts(comparison)]
    return [one for one in found if not one.met and not one.stretch]


def to_markdown(comparisons: Sequence[Comparison], made: Made) -> str:
    """The page `docs/benchmarks/reproduce-<name>.md`."""
    machine = made.machine
    lines = [
        f"# Reproduction: {made.name}",
        "",
        f"    {made.command}",
        "",
        f"Run on {made.at:%Y-%m-%d %H:%M} UTC in {made.seconds:,.0f} s, code {made.code_version}. "
        f"{machine.cpu}, {machine.cores} cores, {machine.memory_gb} GB, {machine.system}, Python "
        f"{machine.python}, load before the start {machine.load_1min}.",
        "",
        "Ours and the simple models were measured in this run; published rows were read in the "
        "source that stands beside them.",
    ]
    for comparison in comparisons:
        lines += ["", *_section(comparison)]
    return "\n".join([*lines, ""])


def show(comparisons: Sequence[Comparison], console: Console) -> None:
    """Print the same tables."""
    for comparison in comparisons:
        table = Table(title=comparison.title, caption=comparison.protocol)
        for heading in (say("model", "模型"), say("who says", "来源"), *comparison.metrics, "s"):
            table.add_column(heading)
        for row in comparison.rows:
            table.add_row(
                row.model,
                _BESIDE[row.origin].split()[say("en", "zh") == "zh"],
                *(_figure(row, metric) for metric in comparison.metrics),
                _seconds(comparison, row),
                style="bold" if row.origin is Origin.OURS else "",
            )
        console.print(table)
        for one in verdicts(comparison):
            word = say("met", "达到") if one.met else say("MISSED", "未达到")
            goal = say(" (stretch)", "（努力目标）") if one.stretch else ""
            console.print(
                f"  {word}: {one.model} {one.metric} {number(one.measured)}, {one.asked}{goal}",
                style="green" if one.met else "yellow" if one.stretch else "red",
                highlight=False,
            )
        for remark in comparison.remarks:
            console.print(f"  {remark}", soft_wrap=True)


def _section(comparison: Comparison) -> list[str]:
    sizes = ", ".join(f"{_count(value)} {name}" for name, value in comparison.statistics.items())
    lines = [
        f"## {comparison.title}",
        "",
        f"{comparison.protocol} Seed {comparison.seed}.",
        "",
        f"Data, asserted before the run: {sizes}.",
        "",
        *_table(
            ("model 模型", "", *comparison.metrics, "seconds 秒", "source, settings 来源与设置"),
            (
                (
                    f"**{row.model}**" if row.origin is Origin.OURS else row.model,
                    _BESIDE[row.origin],
                    *(_figure(row, metric) for metric in comparison.metrics),
                    _seconds(comparison, row),
                    row.note,
                )
                for row in comparison.rows
            ),
            numbers=range(2, len(comparison.metrics) + 3),
        ),
    ]
    found = verdicts(comparison)
    if found:
        lines += [
            "",
            *_table(
                ("asked 要求", "of 模型", "metric 指标", "measured 实测", "verdict 结论"),
                (
                    (
                        one.asked + (" (stretch 努力目标)" if one.stretch else ""),
                        one.model,
                        one.metric,
                        number(one.measured),
                        "met 达到" if one.met else "**missed 未达到**",
                    )
                    for one in found
                ),
                numbers=range(3, 4),
            ),
        ]
    for remark in comparison.remarks:
        lines += ["", remark]
    return lines


def _verdict(one: Gate | Check, run: dict[str, Row], title: str) -> Verdict:
    row = run.get(one.model)
    if row is None or one.metric not in row.figures:
        raise ValueError(
            f"{title!r} asks for {one.metric} of {one.model!r}, which this run did not measure; "
            f"it measured {sorted(run)}"
        )
    if isinstance(one, Gate):
        asked, stretch = f"{'≤' if one.below else '≥'} {one.bound:g}", one.stretch
    else:
        wide = f" ± {100 * one.within:g}%" if one.within else " exactly"
        asked, stretch = f"{one.expected:g}{wide}", False
    return Verdict(
        one.model, one.metric, asked, row.figures[one.metric], one.met_by(row.figures), stretch
    )


def _figure(row: Row, metric: str) -> str:
    return number(row.figures[metric]) if metric in row.figures else ""


def number(value: float) -> str:
    """As many digits as its size bears; whole numbers from 10 are counts and show none."""
    if abs(value) >= 10 and value == int(value):
        return f"{value:,.0f}"
    if abs(value) >= 100:
        return f"{value:,.2f}"
    return f"{value:.4f}" if abs(value) >= 0.01 else f"{value:.4g}"


def _seconds(comparison: Comparison, row: Row) -> str:
    taken = comparison.seconds.get(row.model)
    if taken is None or row.origin is Origin.PUBLISHED:
        return ""
    return f"{taken:,.0f}" if taken >= 10 else f"{taken:.1f}"


def _count(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"


def _table(
    headings: Sequence[str], rows: Iterable[Sequence[str]], numbers: Iterable[int]
) -> list[str]:
    right = set(numbers)
    rule = ["---:" if column in right else "---" for column in range(len(headings))]
    return [f"| {' | '.join(row)} |" for row in (headings, rule, *rows)]
