"""`nearline backfill`."""

from __future__ import annotations

from contextlib import ExitStack

import click

from nearline.say import say


@click.command(
    help=say(
        "Compute all online features again from the whole history.\n\n"
        "Use it after an import, after a change of features, or for an empty Redis. It gives "
        "exactly what the stream worker would have given, and the worker goes on where it ends. "
        "The worker must not run meanwhile, so stop `nearline up` first; the embedded Redis is "
        "then started for as long as it takes. Killed half way, it can simply be run again.\n\n"
        "Example: nearline backfill",
        "用全部历史重新计算在线特征。\n\n"
        "适用于导入历史之后、特征变更之后，或 Redis 为空时。结果与流式 worker 完全一致，"
        "worker 会从它结束处继续。运行期间 worker 必须停止"
        "（先停止 `nearline up`，内置 Redis 会临时启动）；"
        "中途被杀后重新运行即可。\n\n"
        "例：nearline backfill",
    )
)
def backfill() -> None:
    from ingestion.backfill.app import run
    from nearline.embedded.stack import Stack
    from nearline.embedded.valkey import port_is_free
    from nearline.history import none_yet
    from nearline.settings import LOOPBACK, load

    settings = load()
    with ExitStack() as own:
        if not settings.redis_url and port_is_free(LOOPBACK, settings.redis_port):
            # Nothing runs here: the embedded store is needed, and `nearline up` has a worker.
            own.enter_context(Stack(settings)).store()
        report = run(settings)
    if not report.events:
        click.echo(none_yet(settings.history), err=True)
    rate = report.events / report.seconds if report.seconds > 0 else 0.0
    click.echo(
        say(
            f"{report.events:,} events became {report.customers:,} customers and "
            f"{report.items:,} items in {report.seconds:.1f} s ({rate:,.0f} events/s)",
            f"{report.events:,} 个事件汇总为 {report.customers:,} 个顾客和 "
            f"{report.items:,} 个商品，用时 {report.seconds:.1f} 秒（{rate:,.0f} 事件/秒）",
        )
    )
