"""`nearline shop`: a simulated shop that writes history and shops live."""

from __future__ import annotations

import click

from nearline.say import say


@click.group(
    help=say(
        "A simulated shop: customers with hidden tastes, sessions, seasons, price sense and "
        "lives that end in churn. The truth is kept apart, so that models can be judged.\n\n"
        "Example:\n\n  nearline shop generate && nearline shop live --rate 5",
        "模拟商店：顾客有隐藏偏好、会话、季节、价格敏感度，也会流失。真相单独保存，用来评判模型。\n\n"
        "示例：\n\n  nearline shop generate && nearline shop live --rate 5",
    )
)
def shop() -> None:
    """Hold the shop's commands."""


@shop.command(
    help=say(
        "Write a made-up past: events into the history (Parquet by day), tastes and departures "
        "into the folder `truth`.\n\n"
        "Equal parameters give equal bytes. Without --until a shop that is there is kept; a run "
        "that was killed leaves nothing that the next one does not clear away.\n\n"
        "Example:\n\n  nearline shop generate --customers 500 --days 30 --until 2026-11-01",
        "生成过去的行为数据：事件写入历史（按天的 Parquet），偏好与流失写入 truth 目录。\n\n"
        "参数相同则字节相同。不带 --until 时，已有的商店会保留；被中断的运行会由下一次清理。\n\n"
        "示例：\n\n  nearline shop generate --customers 500 --days 30 --until 2026-11-01",
    )
)
@click.option("--customers", default=2_000, show_default=True, type=click.IntRange(1, 200_000))
@click.option("--items", default=1_500, show_default=True, type=click.IntRange(24, 20_000))
@click.option("--days", default=60, show_default=True, type=click.IntRange(1, 1_000))
@click.option("--seed", default=7, show_default=True, type=click.IntRange(0))
@click.option(
    "--until",
    default=None,
    metavar="TIME",
    help=say(
        "Where the past ends: 2026-11-01, 2026-11-01T12:00:00+08:00 (without a zone: UTC), or "
        "now. Default: now, unless such a shop exists.",
        "历史的终点：2026-11-01、2026-11-01T12:00:00+08:00（无时区按 UTC）或 now。",
    ),
)
@click.option(
    "--replace", is_flag=True, help=say("Remove another shop that is there.", "替换已有商店。")
)
def generate(
    customers: int, items: int, days: int, seed: int, until: str | None, replace: bool
) -> None:
    """Write history and truth."""
    import time

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    from ingestion.instants import instant_us
    from ingestion.shop import truth
    from ingestion.shop.generate import Parameters
    from ingestion.shop.generate import generate as write
    from nearline import settings as settings_module
    from nearline.clock import SystemClock

    settings = settings_module.load()
    held = truth.read_shop(settings.truth)
    asked = (customers, items, days, seed)
    if until is None and held and (held.customers, held.items, held.days, held.seed) == asked:
        until_us = held.until_us
    else:
        now_us = SystemClock().now_us()
        until_us = instant_us(
            until or "now",
            now_us - now_us % 60_000_000,  # `now` is a whole minute.
            option="--until",
            examples=["2026-11-01", "2026-11-01T12:00:00+08:00"],
        )
    parameters = Parameters(customers, items, days, seed, until_us)
    there = held is not None and held.fingerprint == parameters.fingerprint
    started = time.monotonic()
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(say("days, {task.fields[events]:,} events", "天，{task.fields[events]:,} 条")),
        console=Console(stderr=True),
        disable=there,
    ) as progress:
        bar = progress.add_task(say("the shop lives", "模拟商店运行中"), total=days, events=0)
        events = 0

        def on_day(count: int) -> None:
            nonlocal events
            events += count
            progress.update(bar, advance=1, events=events)

        made = write(settings, parameters, replace=replace, on_day=on_day)
    seconds = time.monotonic() - started
    if there:
        text = say(
            f"this shop is there already: {made.events:,} events in {settings.history}",
            f"该商店已存在：{made.events:,} 条事件，位于 {settings.history}",
        )
    else:
        text = say(
            f"{made.events:,} events in {settings.history}, the truth in {settings.truth} "
            f"({seconds:.1f} s)",
            f"{made.events:,} 条事件写入 {settings.history}，真相写入 {settings.truth}"
            f"（{seconds:.1f} 秒）",
        )
    Console().print(text, soft_wrap=True)


@shop.command(
    help=say(
        "Let customers who have not left shop against the running system, in real time.\n\n"
        "They ask for recommendations now and then and click what they like, near the top more "
        "often; everything is sent to the collector. Ctrl-C ends it with a summary.\n\n"
        "Example:\n\n  nearline shop live --rate 20 --seconds 60",
        "让尚未流失的顾客实时在运行中的系统上购物：偶尔请求推荐并点击喜欢的商品（靠前的更常被点），"
        "行为全部发送到采集器。Ctrl-C 结束并显示汇总。\n\n"
        "示例：\n\n  nearline shop live --rate 20 --seconds 60",
    )
)
@click.option(
    "--rate",
    default=5.0,
    show_default=True,
    type=click.FloatRange(0.01, 500.0),
    help=say("Events a second.", "每秒事件数。"),
)
@click.option(
    "--seconds",
    default=None,
    type=click.FloatRange(0.1),
    help=say("End after so long; default: until Ctrl-C.", "运行时长；默认直到 Ctrl-C。"),
)
@click.option("--seed", default=None, type=int, help=say("Repeatable choices.", "随机种子。"))
@click.option("--collector", default=None, metavar="URL", help=say("Its address.", "采集器地址。"))
@click.option("--api", default=None, metavar="URL", help=say("Its address.", "推荐接口地址。"))
def live(
    rate: float, seconds: float | None, seed: int | None, collector: str | None, api: str | None
) -> None:
    """Shop until stopped."""
    import secrets

    from rich.console import Console

    from ingestion.shop import truth
    from ingestion.shop.live import Crowd, Services, shop_live
    from nearline.clock import SystemClock
    from nearline.embedded.running import settings_of_what_runs
    from nearline.stopping import stop_on_signals
    from nearline.write_keys import first_key

    settings = settings_of_what_runs()
    known = truth.load(settings.truth)
    seed = secrets.randbelow(1 << 32) if seed is None else seed
    console = Console(stderr=True)
    crowd = Crowd(known, seed, now_us=SystemClock().now_us())
    with (
        Services(
            collector or f"http://{settings.host}:{settings.collector_http_port}",
            api or f"http://{settings.host}:{settings.api_http_port}",
            first_key(settings.home),
            seed,
        ) as services,
        stop_on_signals() as stopped,
        console.status("") as status,
    ):
        console.print(
            say(
                f"{crowd.living:,} customers shop at {rate:g} events a second; Ctrl-C ends it",
                f"{crowd.living:,} 位顾客以每秒 {rate:g} 条事件购物；Ctrl-C 结束",
            )
        )
        tally = shop_live(
            crowd,
            services,
            rate=rate,
            seconds=seconds,
            stopped=stopped,
            on_change=lambda tally: status.update(tally.text()),
        )
    Console().print(tally.text(), soft_wrap=True)
    raise SystemExit(0 if tally.accepted or not tally.sent else 1)
