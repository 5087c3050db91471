"""What the commands of this room show people."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console
from rich.table import Table

from ingestion.connectors.convert import REASONS
from ingestion.connectors.delivery import Tally
from ingestion.connectors.importing import Report
from ingestion.connectors.replay import Progress
from nearline.clock import utc
from nearline.say import say


def counts_text(tally: Tally, progress: Progress) -> str:
    """One line on how a replay goes."""
    parts = [
        say(f"{progress.sent:,} sent", f"已发送 {progress.sent:,}"),
        *(f"{count:,} {outcome}" for outcome, count in sorted(tally.outcomes.items())),
        f"p50 {tally.percentile_ms(0.5):.0f} ms, p99 {tally.percentile_ms(0.99):.0f} ms",
        say(f"late {progress.lag_ms:.0f} ms", f"滞后 {progress.lag_ms:.0f} ms"),
    ]
    if progress.unreadable:
        parts.append(say(f"{progress.unreadable:,} unreadable", f"{progress.unreadable:,} 不可读"))
    if tally.retries:
        parts.append(say(f"{tally.retries:,} retries", f"重试 {tally.retries:,}"))
    if tally.latest_cause:
        parts.append(tally.latest_cause)
    return ", ".join(parts)


def print_report(console: Console, report: Report, refused_path: Path) -> None:
    """What became of every row, and why some were refused."""
    console.print(
        say(
            f"received {report.received:,} = imported {report.imported:,} + duplicate "
            f"{report.duplicates.count:,} + ignored {report.ignored:,} + refused "
            f"{report.refused_total:,}",
            f"收到 {report.received:,} = 导入 {report.imported:,} + 重复 "
            f"{report.duplicates.count:,} + 忽略 {report.ignored:,} + 拒绝 "
            f"{report.refused_total:,}",
        ),
        soft_wrap=True,
    )
    if report.imported:
        span = f"{utc(report.first_us):%Y-%m-%d %H:%M} .. {utc(report.last_us):%Y-%m-%d %H:%M} UTC"
        console.print(say(f"{span}, {report.days} days", f"{span}，{report.days} 天"))
    if not report.refused and not report.duplicates.count:
        return
    table = Table()
    for title in (say("reason", "原因"), say("rows", "行数"), say("first rows", "首批行号")):
        table.add_column(title)
    rows = sorted(report.refused.items(), key=lambda pair: -pair[1].count)
    for code, reason in rows:
        first = ", ".join(map(str, reason.first_rows))
        table.add_row(f"{code}: {REASONS.get(code, '')}", f"{reason.count:,}", first)
    if report.duplicates.count:
        first = ", ".join(map(str, report.duplicates.first_rows))
        table.add_row(
            say("duplicate: an earlier row has this event id", "重复：事件 id 已出现"),
            f"{report.duplicates.count:,}",
            first,
        )
    console.print(table)
    if report.refused:
        console.print(
            say(f"the refused rows: {refused_path}", f"被拒的行：{refused_path}"), soft_wrap=True
        )
