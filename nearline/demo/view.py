"""How the story looks in a terminal."""

from __future__ import annotations

import io
import re
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from nearline.contracts.answer import ChurnAnswer, RecommendedItem
from nearline.demo.story import LIMIT_MS, Story
from nearline.say import say


def render(story: Story) -> RenderableType:
    """The whole story, top to bottom."""
    return Group(_lists(story), _receipt(story), _churn(story), _verdict(story))


def draw(story: Story, picture: Path) -> None:
    """The story as an SVG file that fetches nothing from anywhere."""
    canvas = Console(record=True, width=110, file=io.StringIO())
    canvas.print(render(story))
    svg = canvas.export_svg(title="nearline demo")
    picture.parent.mkdir(parents=True, exist_ok=True)
    picture.write_text(re.sub(r"@font-face \{.*?\}", "", svg, flags=re.DOTALL), encoding="utf-8")


def _lists(story: Story) -> RenderableType:
    table = Table(
        title=say(
            f"Customer {story.customer_id}: before and after three clicks",
            f"顾客 {story.customer_id}：三次点击前后",
        ),
        title_justify="left",
        expand=False,
    )
    table.add_column("#", justify="right", style="dim")
    table.add_column(say("before", "点击前"))
    table.add_column(say("after", "点击后"))
    table.add_column(say("why it is there", "推荐理由"), overflow="fold")
    shown = {item.item_id for item in story.before.items}
    for rank in range(max(len(story.before.items), len(story.after.items))):
        left = story.before.items[rank] if rank < len(story.before.items) else None
        right = story.after.items[rank] if rank < len(story.after.items) else None
        new = right is not None and right.item_id not in shown
        table.add_row(
            str(rank + 1),
            _item(left),
            Text.assemble(("+ " if new else "  "), _item(right), style="green" if new else ""),
            _why(right),
        )
    return table


def _item(item: RecommendedItem | None) -> str:
    if item is None:
        return ""
    price = f"  {item.price_cents / 100:,.2f}" if item.price_cents else ""
    return f"{item.item_id}{price}"


def _why(item: RecommendedItem | None) -> str:
    if item is None or not item.reasons:
        return ""
    reason = item.reasons[0]
    text = say(reason.text_en, reason.text_zh)
    return f"{text} ({reason.item_id})" if reason.item_id else text


def _receipt(story: Story) -> RenderableType:
    table = Table(title=say("The freshness receipt", "新鲜度回执"), title_justify="left")
    table.add_column(say("what", "事项"))
    table.add_column(say("when", "时间"), justify="right")
    for number, timing in enumerate(story.timings, start=1):
        about = f"{timing.click.item_id}" + (
            f" ({timing.click.category})" if timing.click.category else ""
        )
        table.add_row(
            say(
                f"click {number}, {about}: accepted, on disk at log position {timing.position}",
                f"第 {number} 次点击 {about}：已落盘，日志位置 {timing.position}",
            ),
            f"{timing.accepted_ms:.0f} ms",
        )
    table.add_row(
        say(
            f"list that has seen position {story.after.receipt.log_position}",
            f"已包含位置 {story.after.receipt.log_position} 的推荐列表",
        ),
        Text(f"{story.changed_ms:.0f} ms", style="bold green"),
    )
    versions = story.after.versions
    table.add_row(say("made by bundle", "模型包版本"), versions.bundle or "-")
    return table


def _churn(story: Story) -> RenderableType:
    table = Table(
        title=say("How likely two customers are to leave", "两位顾客的流失概率"),
        title_justify="left",
    )
    table.add_column(say("customer", "顾客"))
    table.add_column(say("silent for", "无活动期限"), justify="right")
    table.add_column(say("probability", "概率"), justify="right")
    table.add_column(say("because", "原因"), overflow="fold")
    for customer_id, answer in story.churn:
        for row in _churn_rows(customer_id, answer):
            table.add_row(*row)
    return table


def _churn_rows(customer_id: str, answer: ChurnAnswer) -> list[tuple[str, str, str, str]]:
    if not answer.scores:
        why = ", ".join(answer.degraded) or say("no churn model in this bundle", "无流失模型")
        return [(customer_id, "-", "-", why)]
    return [
        (
            customer_id if place == 0 else "",
            say(f"{score.horizon_days} days", f"{score.horizon_days} 天"),
            _percent(score.probability),
            "; ".join(say(reason.text_en, reason.text_zh) for reason in score.reasons[:3]),
        )
        for place, score in enumerate(answer.scores)
    ]


def _percent(probability: float) -> str:
    """Whole percents; the ends say that nothing is certain."""
    if probability < 0.01:
        return "< 1%"
    return "> 99%" if probability > 0.99 else f"{probability:.0%}"


def _verdict(story: Story) -> RenderableType:
    if story.failures:
        return Panel("\n".join(story.failures), title=say("NOT kept", "未达成"), style="red")
    return Panel(
        say(
            f"{len(story.fresh)} of {len(story.after.items)} places are new. From the last click "
            f"to the changed list: {story.changed_ms:.0f} ms (promised: {LIMIT_MS:.0f} ms).",
            f"{len(story.after.items)} 个位置中有 {len(story.fresh)} 个是新的。"
            f"从最后一次点击到新列表：{story.changed_ms:.0f} 毫秒（承诺 {LIMIT_MS:.0f} 毫秒）。",
        ),
        title=say("kept", "达成"),
        style="green",
    )
