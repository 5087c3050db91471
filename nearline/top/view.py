"""How the figures look in a terminal of 80 columns."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from nearline.say import say
from nearline.top.figures import COLLECTOR, HISTORY, SERVE, STORE, WORKER, Figures, Part, Spread

_BAR = 24  # Columns of the longest bar.
_SLOW_MS = 150.0  # An answer's deadline.
_STALE_MS = 1_000.0  # What items may lie behind the log.
_BAD, _GOOD, _QUIET = "bold red", "green", "dim"


def render(figures: Figures) -> RenderableType:
    """Everything, freshness first."""
    return Group(
        _title(figures),
        *_freshness(figures.freshness_ms),
        *(("", _answers(figures), "", _lines(_faults(figures))) if figures.answers_ms else ()),
        "",
        _parts(figures),
    )


def _title(figures: Figures) -> Text:
    title = Text("nearline top", style="bold")
    window = f"{figures.window_s:.2g}" if figures.window_s < 10 else f"{figures.window_s:.0f}"
    title.append(say(f"  last {window} s", f"  最近 {window} 秒"), style=_QUIET)
    if figures.bundle:
        title.append(say(f"  bundle {figures.bundle}", f"  模型包 {figures.bundle}"))
    if figures.challenger:
        title.append(say(f", challenger {figures.challenger}", f"，挑战者 {figures.challenger}"))
    return title


def _freshness(spread: Spread | None) -> Iterator[Text]:
    """The age of the newest event in each answer, as a histogram."""
    name = say(
        "Freshness: age of the newest event of each customer who asked",
        "新鲜度：各请求顾客最新事件的年龄",
    )
    if spread is None or spread.p50 is None:
        nothing = say("nothing was recommended in this window", "此时段没有推荐")
        yield Text.assemble((name, "bold"), f"  {nothing}")
        return
    beyond = sum(share for bound, share in spread.shares if math.isinf(bound))
    p50, p99 = _ms(spread.p50), _ms(spread.p99)
    if beyond > 0.5:  # The last bound is all that is known of what lies beyond it.
        p50 = f"> {p50}"
    if beyond > 0.01:
        p99 = f"> {p99}"
    told = f"  p50 {p50}  p99 {p99}  {spread.per_s:,.1f}/s"
    yield Text.assemble((name, "bold"), told)
    largest = max(share for _, share in spread.shares)
    for bound, share in spread.shares:
        if share:
            name = say("more", "更久") if math.isinf(bound) else f"≤ {_ms(bound)}"
            bar = "█" * max(1, round(_BAR * share / largest))
            yield Text.assemble(f"  {name:>10} ", (bar, _GOOD), f" {share:.0%}")


def _answers(figures: Figures) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(say("Answers", "应答"), min_width=22)
    for name in (say("per s", "每秒"), "p50", "p99"):
        table.add_column(name, justify="right", min_width=9)
    for name, spread in figures.answers_ms.items():
        table.add_row(name, *_spread(spread))
    for name, spread in figures.stages_ms.items():
        table.add_row(f"  {name}", *_spread(spread), style=_QUIET)
    return table


def _spread(spread: Spread) -> tuple[str, str, Text]:
    slow = spread.p99 is not None and spread.p99 > _SLOW_MS
    return (
        f"{spread.per_s:,.1f}",
        _ms(spread.p50),
        Text(_ms(spread.p99), style=_BAD if slow else ""),
    )


def _faults(figures: Figures) -> Iterator[tuple[str, Text]]:
    """What was left out, broken or refused; that there was nothing is told too."""
    nothing = Text(say("none", "无"), style=_GOOD)
    degraded = _rates(figures.degraded_per_s)
    yield say("Degraded", "降级"), Text(degraded) if degraded else nothing
    broken = ", ".join(f"{rule} {count:,.0f}" for rule, count in figures.violations.items())
    yield say("Rules broken", "违反规则"), Text(broken, style=_BAD) if broken else nothing
    if figures.overloaded_per_s is not None:
        refused = f"{figures.overloaded_per_s:,.1f}/s"
        told = Text(refused, style=_BAD) if figures.overloaded_per_s else nothing
        yield say("Refused (429)", "拒绝（429）"), told


def _parts(figures: Figures) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(say("Part", "部件"), min_width=10, no_wrap=True)
    table.add_column(say("memory", "内存"), justify="right", min_width=8, no_wrap=True)
    table.add_column("")
    for part in figures.parts:
        memory = "" if part.memory_bytes is None else f"{part.memory_bytes / 1e6:,.0f} MB"
        table.add_row(part.name, memory, _says(part, figures))
    return table


def _says(part: Part, figures: Figures) -> Text:
    if not part.up:
        start = "" if part.name == STORE else f": nearline {part.name}"
        why = say(f"does not answer ({part.problem})", f"没有应答（{part.problem}）")
        return Text(why + start, style=_BAD)
    told = {COLLECTOR: _collector, WORKER: _worker, HISTORY: _history, SERVE: _gateway}
    return told[part.name](figures) if part.name in told else Text("")


def _collector(figures: Figures) -> Text:
    text = Text(_rates(figures.events_per_s, all_of_them=True))
    if figures.dead_letters:
        letters = f"{figures.dead_letters:,.0f}"
        text.append(say(f"; {letters} dead letters", f"；死信 {letters}"), style=_BAD)
    return text


def _worker(figures: Figures) -> Text:
    text = Text()
    lag = figures.worker_lag_ms
    if lag is not None:
        text.append(say(f"{lag.per_s:,.1f} events/s", f"每秒 {lag.per_s:,.1f} 个事件"))
        if lag.p50 is not None:
            text.append(say(", lag p50 ", "，延迟 p50 ") + f"{_ms(lag.p50)} p99 {_ms(lag.p99)}")
    if figures.partition_lag_ms is not None:
        behind = _ms(figures.partition_lag_ms)
        text.append(
            say(f", behind {behind}", f"，落后 {behind}"),
            style=_BAD if figures.partition_lag_ms > _STALE_MS else "",
        )
    if figures.partitions_held is not None:
        held = f"{figures.partitions_held:.0f}"
        text.append(say(f", {held} partitions", f"，{held} 个分区"))
    return text


def _history(figures: Figures) -> Text:
    rate, waiting = figures.archived_per_s, figures.history_waiting
    if rate is None or waiting is None:
        return Text("")
    return Text(
        say(
            f"{rate:,.1f} events/s, {waiting:,.0f} wait for their file",
            f"每秒 {rate:,.1f} 个事件，{waiting:,.0f} 个待写入",
        )
    )


def _gateway(figures: Figures) -> Text:
    text = Text()
    if figures.exposures_waiting is not None:
        waiting = f"{figures.exposures_waiting:,.0f}"
        text.append(say(f"{waiting} exposures wait", f"{waiting} 个曝光待写"))
    if figures.exposures_lost:
        lost = f"{figures.exposures_lost:,.0f}"
        text.append(say(f", {lost} lost", f"，丢失 {lost}"), style=_BAD)
    if figures.item_lag_ms is not None:
        lag = _ms(figures.item_lag_ms)
        text.append(
            say(f", items as of {lag} ago", f"，商品为 {lag} 前的状态"),
            style=_BAD if figures.item_lag_ms > _STALE_MS else "",
        )
    return text


def _lines(lines: Iterator[tuple[str, Text]]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(min_width=14, style="bold", no_wrap=True)
    table.add_column()
    for name, told in lines:
        table.add_row(name, told)
    return table


def _rates(per_s: Mapping[str, float], *, all_of_them: bool = False) -> str:
    return ", ".join(f"{name} {rate:,.1f}/s" for name, rate in per_s.items() if rate or all_of_them)


def _ms(value: float | None) -> str:
    """Milliseconds in the unit that reads best; a dash for nothing."""
    if value is None:
        return "-"
    if value < 1_000:
        return f"{value:.1f} ms" if value < 10 else f"{value:.0f} ms"
    for unit, ms, most in (
        ("s", 1_000.0, 120.0),
        ("min", 60_000.0, 120.0),
        ("h", 3_600_000.0, 1e9),
    ):
        if value / ms < most:
            return f"{value / ms:.3g} {unit}"
    return "-"
