"""A report as JSON and as Markdown, and what its numbers alone do not say; pure."""

from __future__ import annotations

import msgspec

from nearline.bench.goals import Goal, goals
from nearline.bench.report import Figures, Latency, Report

_HOW = (
    "One run. Milliseconds; percentiles by nearest rank. Client and system share the machine. "
    "Floors are the same moves with nothing computed, measured in the same run; × tells how many "
    "times its floor a figure is. Questions are asked by a process of its own (one event loop): "
    "`asking` is the share of one core that it took, so where that nears 100 % it is the "
    "generator that is measured. Refused (429) and failed questions are counted apart and are "
    "not among the times; a refused client waits as it is told (Retry-After). Times at a given "
    "rate count from the instant at which each question was due."
)


def failures(figures: Figures) -> tuple[str, ...]:
    """Why this run does not hold what it must; empty when it does."""
    found: list[str] = []
    if figures.missed:
        found.append(f"{figures.missed} events never reached an answer")
    if not figures.changed:
        found.append(
            f"not one of {figures.trials} events changed a list, so what was timed is not what "
            f"is promised; answers were degraded by {', '.join(figures.degraded) or 'nothing'}"
        )
    found += [
        f"{goal.title_en} is {amount(goal.measured, goal.unit)}; at most "
        f"{amount(goal.limit, goal.unit)} is allowed"
        for goal in goals(figures)
        if goal.promised and goal.kept is False
    ]
    return tuple(found)


def to_json(report: Report) -> bytes:
    """The report with its ratios and goals, indented."""
    document = msgspec.to_builtins(report)
    figures = document["figures"]
    for held, latency in zip(figures["latencies"], report.figures.latencies, strict=True):
        found = report.figures.ratios(latency)
        held["ratio_p50"], held["ratio_p99"] = found or (None, None)
    for held, rate in zip(figures["rates"], report.figures.rates, strict=True):
        held["share_of_floor"] = report.figures.share(rate)
    figures["goals"] = [
        msgspec.to_builtins(goal) | {"kept": goal.kept} for goal in goals(report.figures)
    ]
    figures["failures"] = list(failures(report.figures))
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def to_markdown(report: Report) -> str:
    """A page that says what was measured, on what, and how to measure it again."""
    machine, figures = report.machine, report.figures
    lines = [
        f"# Serving, measured on {report.date[:10]}",
        "",
        f"    {report.command}",
        "",
        f"Nearline {report.version}, bundle {figures.bundle or 'none'}, seed {report.seed}, "
        f"{report.date}. {machine.cpu}, {machine.cores} cores, {machine.memory_gb} GB, "
        f"{machine.system}, Python {machine.python}. Load before the start "
        f"{machine.load_1min}, after the end {report.load_after}.",
        "",
        _HOW,
        "",
        "| goal 目标 | measured 实测 | limit 上限 | |",
        "|---|---:|---:|---|",
    ]
    for goal in goals(figures):
        cells = [f"{goal.title_en} {goal.title_zh}", *goal_cells(goal)]
        lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "",
        "| what 指标 | n | p50 | p99 | max | × p50 | × p99 | floor 下限 | refused | asking |",
        "|---|---:|---:|---:|---:|---:|---:|---|---:|---:|",
    ]
    titles = {latency.key: latency.title_en for latency in figures.latencies}
    for latency in figures.latencies:
        cells = [f"{latency.title_en} {latency.title_zh}", *latency_cells(figures, latency)]
        cells.insert(-2, titles.get(latency.floor or "", ""))
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "| what 指标 | a second | of its floor |", "|---|---:|---:|"]
    for rate in figures.rates:
        share = figures.share(rate)
        told = "" if share is None else f"{share:.0%}"
        lines.append(
            f"| {rate.title_en} {rate.title_zh} | {rate.per_s:,.0f} {rate.unit} | {told} |"
        )
    return "\n".join([*lines, "", *(f"- {note}" for note in notes(figures)), ""])


def goal_cells(goal: Goal) -> tuple[str, str, str]:
    """Measured, limit, and whether it is kept."""
    sign = "≤" if goal.at_most else "≥"
    kept = {True: "kept", False: "NOT KEPT", None: "not measured"}[goal.kept]
    return amount(goal.measured, goal.unit), f"{sign} {amount(goal.limit, goal.unit)}", kept


def latency_cells(figures: Figures, latency: Latency) -> tuple[str, ...]:
    """n, p50, p99, max, × p50, × p99, refused, asking."""
    measured, times = latency.measured, figures.ratios(latency)
    return (
        str(measured.n),
        f"{measured.p50:.1f}",
        f"{measured.p99:.1f}",
        f"{measured.largest:.1f}",
        *((f"{times[0]:.1f}", f"{times[1]:.1f}") if times else ("", "")),
        str(latency.refused) if latency.refused else "",
        "" if latency.asking is None else f"{latency.asking:.0%}",
    )


def amount(value: float | None, unit: str) -> str:
    """A number with its unit; a dash for what was not measured."""
    if value is None:
        return "—"
    digits = f"{value:,.0f}" if value >= 1_000 or value == 0 else f"{value:.3g}"
    return f"{digits} {unit}".strip()


def notes(figures: Figures) -> list[str]:
    """What the numbers alone do not say, one sentence each."""
    told = [
        f"After {figures.changed} of {figures.trials} events the list itself differed; "
        f"{figures.missed} events never reached an answer."
    ]
    late = [one for one in figures.latencies if one.late_p99_ms]
    if late:
        worst = max(late, key=lambda one: one.late_p99_ms)
        told.append(
            f"The load generator asked at most {worst.late_p99_ms:.1f} ms late (p99, "
            f"{worst.title_en}); that is part of the times."
        )
    told += figures.remarks
    if figures.degraded:
        told.append(f"Answers were degraded: {', '.join(figures.degraded)}.")
    return told + [f"FAILED: {failure}." for failure in failures(figures)]
