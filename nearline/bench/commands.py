"""`nearline bench`: measures the running system, or starts the demo's and measures that."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nearline.bench.growth.commands import growth
from nearline.say import say

if TYPE_CHECKING:
    from rich.console import Console

    from nearline.settings import Settings


@click.group(
    invoke_without_command=True,
    help=say(
        "Measure how fast the system answers and how fast an event changes a recommendation, "
        "through the real front doors, each figure beside a floor that is measured in the same "
        "run, and told against the goals. Ends with 1 when the p99 of event to recommendation "
        "exceeds 1 second.\n\n"
        "It writes some ten thousand events of customers named bench-*: measure a system that "
        "you can throw away, as --start makes it. Growth of items and customers: `nearline bench "
        "growth`.\n\n"
        "Examples:\n\n  nearline bench --start\n\n"
        "  nearline bench --trials 500 --markdown docs/benchmarks/serving.md\n\n"
        "  nearline bench --collector http://10.0.0.5:7300 --api http://10.0.0.6:7310 "
        "--api-grpc 10.0.0.6:7311 --write-key KEY",
        "测量系统多快作答、一个事件多快改变推荐（走真实的 HTTP 与 gRPC 入口），每个数字都与同次"
        "测得的下限和目标对照。事件到推荐的 p99 超过 1 秒时退出码为 1。\n\n"
        "会写入名为 bench-* 的顾客的约一万个事件：请在可丢弃的系统上运行，例如 --start。"
        "商品与顾客规模的增长：`nearline bench growth`。\n\n"
        "示例：\n\n  nearline bench --start\n\n"
        "  nearline bench --trials 500 --markdown docs/benchmarks/serving.md",
    ),
)
@click.option(
    "--start",
    is_flag=True,
    help=say(
        "Start the demo's system for it, and stop it after.", "为测量启动演示系统，结束后停止。"
    ),
)
@click.option(
    "--any-port", is_flag=True, help=say("With --start: choose free ports.", "自动选端口。")
)
@click.option("--collector", help=say("Collector's address.", "采集器地址。"))
@click.option("--api", help=say("Recommendation API's address.", "推荐服务地址。"))
@click.option("--api-grpc", help=say("Its gRPC host:port.", "推荐服务的 gRPC 地址。"))
@click.option(
    "--write-key",
    envvar="NEARLINE_WRITE_KEY",
    help=say("Write key; by default one named `bench` in the home folder.", "写入密钥。"),
)
@click.option("--trials", default=200, show_default=True, type=click.IntRange(10, 100_000))
@click.option("--customers", default=25, show_default=True, type=click.IntRange(1, 10_000))
@click.option(
    "--batches",
    default=20,
    show_default=True,
    type=click.IntRange(1, 10_000),
    help=say("Batches of 100 events, sent first.", "先发送的批次数，每批 100 个事件。"),
)
@click.option(
    "--seconds",
    default=8.0,
    show_default=True,
    type=click.FloatRange(1.0, 600.0),
    help=say(
        "How long each closed loop asks; open ones ask four times as long.",
        "每个闭环的时长（秒）；开环为其四倍。",
    ),
)
@click.option("--seed", default=7, show_default=True)
@click.option(
    "--json",
    "json_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help=say("Write all figures as JSON.", "写出 JSON。"),
)
@click.option(
    "--markdown",
    type=click.Path(dir_okay=False, path_type=Path),
    help=say("Write a page with machine, date, seed and command.", "写出 Markdown 报告。"),
)
@click.pass_context
def bench(
    context: click.Context,
    start: bool,
    any_port: bool,
    collector: str | None,
    api: str | None,
    api_grpc: str | None,
    write_key: str | None,
    trials: int,
    customers: int,
    batches: int,
    seconds: float,
    seed: int,
    json_file: Path | None,
    markdown: Path | None,
) -> None:
    """Start if asked to, measure, tell."""
    elsewhere = any((collector, api, api_grpc))
    if any_port and not start:
        raise click.UsageError(
            say(
                "--any-port chooses the ports of a system that --start starts: add --start, or "
                "leave it out to measure the system that runs.",
                "--any-port 为 --start 启动的系统选择端口：请加上 --start；"
                "若要测量正在运行的系统，请去掉它。",
            )
        )
    if start and elsewhere:
        raise click.UsageError(
            say(
                "--start measures the system that it starts, and --collector, --api and "
                "--api-grpc name another: leave out the one or the others.",
                "--start 测量由它启动的系统，而 --collector、--api、--api-grpc 指向另一个系统："
                "请只保留其一。",
            )
        )
    if context.invoked_subcommand:
        return
    import sys
    import uuid
    from contextlib import ExitStack
    from datetime import UTC, datetime

    from rich.console import Console

    from nearline import __version__, write_keys
    from nearline import settings as settings_module
    from nearline.bench.bars import bars
    from nearline.bench.machine import load_1min, this_machine
    from nearline.bench.page import failures, to_json, to_markdown
    from nearline.bench.plan import Plan
    from nearline.bench.report import Report
    from nearline.bench.suite import measure, with_serve_echo
    from nearline.bench.view import render

    console = Console(stderr=True)
    machine = this_machine()
    began = datetime.now(UTC).isoformat(timespec="seconds")
    with ExitStack() as running, bars(console) as progress:
        settings = running.enter_context(
            _system(console, settings_module.load(), start=start, any_port=any_port)
        )
        host = settings.host
        plan = Plan(
            collector_url=collector or f"http://{host}:{settings.collector_http_port}",
            api_url=api or f"http://{host}:{settings.api_http_port}",
            api_grpc=api_grpc or f"{host}:{settings.api_grpc_port}",
            write_key=write_key or write_keys.add(settings.home, write_keys.WriteKey(name="bench")),
            redis_url=settings.redis_address,
            run=uuid.uuid4().hex[:12],
            seed=seed,
            trials=trials,
            customers=customers,
            batches=batches,
            seconds=seconds,
            environ=None if elsewhere else settings_module.to_environ(settings),
        )
        measured = measure(plan, progress)
        if start:
            running.close()
        figures = with_serve_echo(plan, measured, progress)
    command = " ".join(["nearline", "bench", *_without_key(sys.argv[2:])])
    report = Report(began, command, __version__, seed, machine, load_1min(), figures)
    # Into a file or a pipe, columns need not fold at 80.
    Console(width=None if sys.stdout.isatty() else 140).print(render(report))
    if json_file is not None:
        json_file.write_bytes(to_json(report))
    if markdown is not None:
        markdown.parent.mkdir(parents=True, exist_ok=True)
        markdown.write_text(to_markdown(report), encoding="utf-8")
    raise SystemExit(1 if failures(figures) else 0)


bench.add_command(growth)


@contextmanager
def _system(
    console: Console, settings: Settings, *, start: bool, any_port: bool
) -> Iterator[Settings]:
    """The settings of a running system: the one here, or one that lives as long as this."""
    from dataclasses import replace

    from nearline.demo.commands import prepare
    from nearline.demo.stages import shop_stages
    from nearline.embedded.running import DEMO, demo_home, of_what_runs
    from nearline.embedded.shell import run_until_stopped
    from nearline.embedded.stack import Stack, check_ports, with_free_ports

    if not start:
        with run_until_stopped():
            yield of_what_runs(settings)
        return
    settings = replace(settings, home=demo_home(settings.home, DEMO))
    settings = with_free_ports(settings) if any_port else settings
    check_ports(settings)
    with run_until_stopped(), Stack(settings) as stack:
        stack.store()
        prepare(console, stack, shop_stages())
        with console.status(say("starting the live parts", "启动在线部件")):
            stack.live("collector", "worker", "history", "serve")
        yield settings


def _without_key(arguments: Sequence[str]) -> list[str]:
    """The arguments as typed, but for the write key, which is nobody's business."""
    shown: list[str] = []
    for argument in arguments:
        if shown and shown[-1] == "--write-key":
            shown.append("KEY")
        elif argument.startswith("--write-key="):
            shown.append("--write-key=KEY")
        else:
            shown.append(argument)
    return shown
