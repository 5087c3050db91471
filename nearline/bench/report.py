"""The figures of one run as values, and as JSON and Markdown; pure."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from nearline.bench.machine import Machine
from nearline.bench.stats import Summary, ratio

LIMIT_MS = 1_000.0  # event -> changed recommendation, p99; the promise to customers is 3 s.
TAG_LIMIT_MS = 200.0


@dataclass(frozen=True, slots=True)
class Latency:
    """Times in ms of one kind of call. `floor` is the key of the row to compare with."""

    key: str
    title_en: str
    title_zh: str
    measured: Summary
    floor: str | None = None
    limit_p99_ms: float | None = None

    @property
    def kept(self) -> bool | None:
        """Whether the limit is kept; None where there is none."""
        return None if self.limit_p99_ms is None else self.measured.p99 <= self.limit_p99_ms


@dataclass(frozen=True, slots=True)
class Rate:
    """Events a second. `floor` is the key of the row to compare with."""

    key: str
    title_en: str
    title_zh: str
    per_s: float
    floor: str | None = None


@dataclass(frozen=True, slots=True)
class Figures:
    """What one run measured.

    `missed` events did not reach an answer in time, of those followed to a list (`trials`)
    and to a tag (as many again).
    """

    latencies: tuple[Latency, ...]
    rates: tuple[Rate, ...]
    bundle: str  # registry version that answered, empty where none did
    degraded: tuple[str, ...]  # reasons given by the answers that were looked at
    trials: int
    missed: int
    changed: int  # lists that differed after the event

    def ratios(self, latency: Latency) -> tuple[float, float] | None:
        """How many times its floor a latency is, at p50 and at p99; None for a floor."""
        for other in self.latencies:
            if other.key == latency.floor:
                p50 = ratio(latency.measured.p50, other.measured.p50)
                p99 = ratio(latency.measured.p99, other.measured.p99)
                return None if p50 is None or p99 is None else (p50, p99)
        return None

    def share(self, rate: Rate) -> float | None:
        """Which share of its floor a rate reaches; None for a floor."""
        for other in self.rates:
            if other.key == rate.floor:
                return ratio(rate.per_s, other.per_s)
        return None

    @property
    def failures(self) -> tuple[str, ...]:
        """Why this run does not hold what it must; empty when it does."""
        failures: list[str] = []
        if self.missed:
            failures.append(f"{self.missed} events never reached an answer")
        if not self.changed:
            failures.append(
                f"not one of {self.trials} events changed a list, so what was timed is not what "
                f"is promised; answers were degraded by {', '.join(self.degraded) or 'nothing'}"
            )
        failures += [
            f"event to recommendation takes {latency.measured.p99:.0f} ms at p99; "
            f"at most {LIMIT_MS:.0f} ms is allowed"
            for latency in self.latencies
            if latency.key == "event_to_recommendation" and latency.kept is False
        ]
        return tuple(failures)


@dataclass(frozen=True, slots=True)
class Report:
    """The figures, and all that is needed to judge and to repeat them."""

    date: str  # RFC 3339, UTC
    command: str
    version: str
    seed: int
    machine: Machine
    figures: Figures


def to_json(report: Report) -> bytes:
    """The report with its ratios, indented."""
    document = msgspec.to_builtins(report)
    figures = document["figures"]
    for held, latency in zip(figures["latencies"], report.figures.latencies, strict=True):
        found = report.figures.ratios(latency)
        held["ratio_p50"], held["ratio_p99"] = found or (None, None)
        held["kept"] = latency.kept
    for held, rate in zip(figures["rates"], report.figures.rates, strict=True):
        held["share_of_floor"] = report.figures.share(rate)
    figures["failures"] = list(report.figures.failures)
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def to_markdown(report: Report) -> str:
    """A page that says what was measured, on what, and how to measure it again."""
    machine, figures = report.machine, report.figures
    lines = [
        f"# Benchmark of {report.date[:10]}",
        "",
        f"    {report.command}",
        "",
        f"Nearline {report.version}, bundle {figures.bundle or 'none'}, seed {report.seed}, "
        f"{report.date}. {machine.cpu}, {machine.cores} cores, {machine.memory_gb} GB, "
        f"{machine.system}, Python {machine.python}, load before the start "
        f"{machine.load_1min}. Client and system share the machine.",
        "",
        "Milliseconds; percentiles by nearest rank. Floors are the same moves with nothing "
        "computed, measured in the same run; × tells how many times its floor a figure is.",
        "",
        "| what 指标 | n | p50 | p99 | max | × p50 | × p99 | floor 下限 | p99 limit 上限 |",
        "|---|---:|---:|---:|---:|---:|---:|---|---|",
    ]
    titles = {latency.key: latency.title_en for latency in figures.latencies}
    for latency in figures.latencies:
        measured, times = latency.measured, figures.ratios(latency)
        cells = [
            f"{latency.title_en} {latency.title_zh}",
            str(measured.n),
            f"{measured.p50:.1f}",
            f"{measured.p99:.1f}",
            f"{measured.largest:.1f}",
            *([f"{times[0]:.1f}", f"{times[1]:.1f}"] if times else ["", ""]),
            titles.get(latency.floor or "", ""),
            limit_text(latency),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "| what 指标 | events/s | of its floor |", "|---|---:|---:|"]
    for rate in figures.rates:
        share = figures.share(rate)
        told = "" if share is None else f"{share:.0%}"
        lines.append(f"| {rate.title_en} {rate.title_zh} | {rate.per_s:,.0f} | {told} |")
    return "\n".join([*lines, "", *notes(figures), ""])


def limit_text(latency: Latency) -> str:
    """The limit and whether it is kept; empty where there is none."""
    if latency.limit_p99_ms is None:
        return ""
    return f"≤ {latency.limit_p99_ms:.0f} {'kept' if latency.kept else 'NOT KEPT'}"


def notes(figures: Figures) -> list[str]:
    """What the numbers alone do not say, one sentence each."""
    told = [
        f"After {figures.changed} of {figures.trials} events the list itself differed; "
        f"{figures.missed} events never reached an answer."
    ]
    if figures.degraded:
        told.append(f"Answers were degraded: {', '.join(figures.degraded)}.")
    return told + [f"FAILED: {failure}." for failure in figures.failures]
