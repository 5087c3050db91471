"""`nearline lists`: whom to write to, why, and by which channel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nearline.say import say

if TYPE_CHECKING:
    from nearline.settings import Settings
    from serving.lists.model import Made, Purpose, Wanted
    from serving.policy.model import Policy

CHANNELS = ("push", "email", "sms", "onsite")  # As in `model.Channel`.
_SHOWN = 20


@click.group(
    help=say(
        "Lists for campaigns: whom to write to, why, and by which channel.\n\n"
        "Only customers whose newest statement consents to marketing are ever listed, and nobody "
        "who has had as many messages as a frequency cap allows. Scores are those of the bundle "
        "that serves, of customers as they are now. Reads only; docs/lists.md says how.\n\n"
        "Example:\n\n\b\n"
        "  nearline lists win-back                          look at the best twenty\n"
        "  nearline lists win-back --most 5000 --out leaving.csv\n"
        "  nearline lists demand --category shoes --out shoes.json --with-items 6 --scene email",
        "营销名单：联系谁、为什么、通过哪个渠道。\n\n"
        "只列出最近一次声明同意营销的顾客，且已达频次上限者绝不列入。"
        "分数来自正在服务的模型包，顾客状态为当前状态。只读，不做任何修改；详见 docs/lists.md。\n\n"
        "示例：\n\n\b\n"
        "  nearline lists win-back                          查看前二十名\n"
        "  nearline lists win-back --most 5000 --out leaving.csv\n"
        "  nearline lists demand --category shoes --out shoes.json --with-items 6 --scene email",
    )
)
def lists() -> None:
    pass


def _as_file(_context: click.Context, _parameter: click.Parameter, out: Path | None) -> Path | None:
    if out is not None and out.suffix not in (".csv", ".json"):
        raise click.BadParameter(
            say(f"{out}: name it .csv or .json", f"{out}：文件名须以 .csv 或 .json 结尾")
        )
    return out


def _as_ids(
    _context: click.Context, _parameter: click.Parameter, path: Path | None
) -> frozenset[str]:
    """Customer ids, one a line; empty lines count for nothing."""
    try:
        text = "" if path is None else path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        kind = type(error).__name__  # The error may quote an id.
        raise click.BadParameter(
            say(
                f"{path} cannot be read ({kind}): save it as a text file in UTF-8, one customer "
                "id a line",
                f"{path} 无法读取（{kind}）：请存为 UTF-8 文本文件，每行一个顾客编号",
            )
        ) from None
    return frozenset(line.strip() for line in text.splitlines() if line.strip())


def _options(least: float) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """What all lists can be told."""
    given = [
        click.option("--most", default=1_000, show_default=True, type=click.IntRange(1, 1_000_000),
            help=say("At most so many customers.", "最多多少位顾客。")),
        click.option("--min-probability", default=least, show_default=True,
            type=click.FloatRange(0, 1),
            help=say("Nobody who is less likely.", "最低概率。")),
        click.option("--min-value", default=0.0, show_default=True, type=click.FloatRange(0),
            help=say("Nobody worth less in the next 52 weeks, in the shop's currency.",
                     "未来 52 周的最低价值（商城货币）。")),
        click.option("--within", type=click.IntRange(1),
            help=say("Days to look ahead; the shortest that the bundle knows.",
                     "预测天数；默认为模型包所知的最短天数。")),
        click.option("--channel", type=click.Choice(CHANNELS),
            help=say("One for all, if you hold the addresses; else chosen for each.",
                     "统一渠道（您自有地址时）；默认逐人选择。")),
        click.option("--leave-out", type=click.Path(exists=True, dir_okay=False, path_type=Path),
            callback=_as_ids,
            help=say("A file of customer ids, one a line, who must not be listed: among them "
                     "whoever withdrew all consent, of whom no event is kept.",
                     "不得列入的顾客编号文件，每行一个；应包括撤回全部同意者（其事件不予保存）。")),
        click.option("--out", type=click.Path(dir_okay=False, path_type=Path), callback=_as_file,
            help=say("Write there, .csv or .json, readable by you alone; else the best 20 are "
                     "shown.", "写入该文件（.csv 或 .json，仅本人可读）；否则显示前 20 名。")),
        click.option("--with-items", type=click.IntRange(1, 100),
            help=say("Ask the running API for so many items for each; a cap counts that as the "
                     "message.",
                     "为每位顾客向运行中的接口请求若干商品；频次上限将其计为一次触达。")),
        click.option("--scene", default="email", show_default=True,
            help=say("The scene of those items.", "这些商品的场景。")),
        click.option("--per-second", default=20.0, show_default=True,
            type=click.FloatRange(0, min_open=True),
            help=say("Ask no faster than this.", "每秒最多请求次数。")),
    ]  # fmt: skip

    def wrap(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(given):
            command = option(command)
        return command

    return wrap


@lists.command(
    "win-back",
    help=say(
        "Who is about to leave, most at stake first: the probability of no event at all within "
        "the horizon, times what the customer would spend in a year.\n\n"
        "Example: nearline lists win-back --min-value 50 --most 500 --out leaving.csv",
        "即将流失的顾客，损失最大者在前：预测期内毫无行为的概率，乘以一年的预期消费。\n\n"
        "示例：nearline lists win-back --min-value 50 --most 500 --out leaving.csv",
    ),
)
@_options(least=0.5)
def win_back(**given: Any) -> None:
    _run("win-back", given)


@lists.command(
    help=say(
        "Who will likely buy again, of those who have bought: for reminders and thanks.\n\n"
        "Example: nearline lists repurchase --channel email --out again.json",
        "可能再次购买的老顾客：用于提醒与答谢。\n\n"
        "示例：nearline lists repurchase --channel email --out again.json",
    )
)
@_options(least=0.3)
def repurchase(**given: Any) -> None:
    _run("repurchase", given)


@lists.command(
    help=say(
        "Who will likely buy in a category that they have met lately.\n\n"
        "Without --category, each customer's likeliest. "
        "Example: nearline lists demand --category shoes --out shoes.csv",
        "可能在近期接触过的品类中购买的顾客。\n\n"
        "不写 --category 时取各人最可能的品类。"
        "示例：nearline lists demand --category shoes --out shoes.csv",
    )
)
@click.option(
    "--category",
    "categories",
    multiple=True,
    help=say("Only this one; may be repeated.", "仅此品类；可重复。"),
)
@_options(least=0.2)
def demand(**given: Any) -> None:
    _run("demand", given)


def _run(purpose: str, given: dict[str, Any]) -> None:
    from nearline.embedded.running import settings_of_what_runs
    from serving.policy.folder import KEPT
    from serving.policy.telling import in_force, told

    chosen = settings_of_what_runs()
    held = in_force(chosen.policy_folder, chosen.bundles / KEPT)
    if held.errors:
        going_on = say("goes on by the last good files; mend:", "沿用上次可用的文件；请修正：")
        click.secho(f"{going_on}\n{told(chosen.policy_folder, held.errors)}", fg="yellow", err=True)
    policy = held.policy
    if given["with_items"] and given["scene"] not in policy.scenes:
        known = ", ".join(policy.scenes)
        raise click.UsageError(
            say(f"--scene {given['scene']}: known are {known}", f"--scene 可用：{known}")
        )
    made = _with_bar(
        say("scoring", "评分"),
        lambda progress: _made(purpose, given, chosen, policy, progress),
    )
    out: Path | None = given["out"]
    if given["with_items"]:
        made = _with_items(made, given, chosen)
    if out is not None:
        from serving.lists.output import as_csv, as_json, beside, write

        as_text = as_csv if out.suffix == ".csv" else as_json
        write(out, as_text(made))
        if made.unanswered:
            write(beside(out), as_text(replace(made, entries=made.unanswered)))
    else:
        _show(made)
    _summarize(made, out)
    if made.unanswered:
        raise SystemExit(1)


def _made(
    purpose: str,
    given: dict[str, Any],
    chosen: Settings,
    policy: Policy,
    progress: Callable[[int, int], object],
) -> Made:
    # Importing what computes takes seconds: not before the arguments are good and a bar moves.
    from nearline.clock import SystemClock
    from serving.lists.making import champion, make
    from serving.lists.model import Purpose

    return make(
        chosen,
        champion(chosen),
        policy,
        _wanted(Purpose(purpose), given),
        given["leave_out"],
        SystemClock().now_us(),
        progress,
    )


def _wanted(purpose: Purpose, given: dict[str, Any]) -> Wanted:
    from serving.lists.model import Channel, Wanted

    return Wanted(
        purpose=purpose,
        most=given["most"],
        min_probability=given["min_probability"],
        min_value_cents=100 * given["min_value"],
        horizon_days=given["within"],
        categories=given.get("categories", ()),
        channel=Channel(given["channel"]) if given["channel"] else None,
    )


def _with_items(made: Made, given: dict[str, Any], chosen: Settings) -> Made:
    from nearline.client import Client
    from serving.lists.contents import with_items

    host = chosen.host
    with Client(
        f"http://{host}:{chosen.collector_http_port}", f"http://{host}:{chosen.api_http_port}", ""
    ) as client:
        return _with_bar(
            say("asking for items", "请求商品"),
            lambda progress: with_items(
                made, client, given["scene"], given["with_items"], given["per_second"], progress
            ),
        )


def _with_bar(what: str, work: Callable[[Callable[[int, int], object]], Made]) -> Made:
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        return work(lambda done, of: bar.update(task, completed=done, total=of))


def _show(made: Made) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from serving.lists.output import why_of

    table = Table(box=box.SIMPLE_HEAD)
    for en, zh in (
        ("customer", "顾客"),
        ("chance", "概率"),
        ("category", "品类"),
        ("value", "价值"),
        ("channel", "渠道"),
        ("why", "原因"),
    ):
        table.add_column(say(en, zh))
    for entry in made.entries[:_SHOWN]:
        worth = "" if entry.value_cents is None else f"{entry.value_cents / 100:,.2f}"
        table.add_row(
            entry.customer_id,
            f"{entry.probability:.0%}",
            entry.category,
            worth,
            entry.way.channel.value,
            why_of(entry),
        )
    Console().print(table)


def _summarize(made: Made, out: Path | None) -> None:
    from serving.lists.model import COMES_TRUE, LEFT_WORDS, Left
    from serving.lists.output import beside

    def line(text: str) -> None:
        click.echo(text, err=True)

    count = len(made.entries)
    where = "" if out is None else say(f" in {out}", f"，写入 {out}")
    line(
        say(
            f"{count} of {made.known} customers{where}; "
            f"of these, about {made.expected:.0f} {COMES_TRUE[made.purpose].en} "
            f"within {made.horizon_days} days, going by their probabilities.",
            f"{made.known} 位顾客中的 {count} 位{where}；按概率估计，"
            f"其中约 {made.expected:.0f} 位在 {made.horizon_days} 天内"
            f"{COMES_TRUE[made.purpose].zh}。",
        )
    )
    for reason, number in made.left.items():
        line(f"  {number:>9,}  {LEFT_WORDS[reason]}")
    for note in made.notes:
        line(str(note))
    if made.unanswered and out is not None:
        line(
            say(
                f"Who got no answer stands in {beside(out)}.",
                f"未获应答者写入 {beside(out)}。",
            )
        )
    line(
        say(
            f"Bundle {made.bundle}, calibrated with events up to {made.calibrated_to}; "
            f"probability at least {made.min_probability:g}, "
            f"value at least {made.min_value_cents / 100:g}.",
            f"模型包 {made.bundle}，校准数据截至 {made.calibrated_to}；"
            f"概率不低于 {made.min_probability:g}，价值不低于 {made.min_value_cents / 100:g}。",
        )
    )
    if made.left.get(Left.NO_CONSENT) == made.known:
        line(
            say(
                "Nobody has consented to marketing: events must carry it, as "
                'context.consent.categoryPreferences {"marketing": true}.',
                "没有顾客同意营销：事件须在 context.consent.categoryPreferences 中带有 "
                '{"marketing": true}。',
            )
        )
