"""`nearline worker`."""

from __future__ import annotations

import click

from nearline.say import say


@click.command(
    help=say(
        "Turn events into online features as they arrive.\n\n"
        "Reads the event log and keeps each customer's and item's features in Redis, each event "
        "exactly once, also when this is killed at any moment. A second worker waits and takes "
        "over. Stop with Ctrl-C.\n\n"
        "Example: nearline worker",
        "把新到的事件变成在线特征。\n\n"
        "读取事件日志，在 Redis 中更新每个顾客和商品的特征；"
        "每个事件恰好计一次，随时被杀也不丢不重。"
        "第二个 worker 会等待并接管。按 Ctrl-C 停止。\n\n"
        "例：nearline worker",
    )
)
@click.option(
    "--once",
    is_flag=True,
    help=say("Apply what the log holds now, then end.", "处理完日志中现有的事件后结束。"),
)
def worker(once: bool) -> None:
    from ingestion.worker.app import run
    from nearline import logs
    from nearline.settings import load
    from nearline.stopping import stop_on_signals

    logs.start("worker")
    with stop_on_signals() as stop:
        run(load(), stop, once=once)
