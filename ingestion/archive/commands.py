"""`nearline history`."""

from __future__ import annotations

import os

import click

from nearline.say import say

_YIELDS = 10  # To what somebody waits for: writing files takes a core for a while, and has time.


@click.command(
    help=say(
        "Write accepted events to Parquet history, and trim the log behind it.\n\n"
        "Files appear whole and are named by the log range that they hold, so stopping or "
        "killing this at any moment neither loses nor repeats an event. Stop with Ctrl-C.\n\n"
        "Example: NEARLINE_HISTORY_FLUSH_S=60 nearline history",
        "把已接受的事件写成 Parquet 历史，并裁剪日志。\n\n"
        "文件整体出现，文件名即其日志范围；随时停止或被杀都不会丢失或重复事件。"
        "按 Ctrl-C 停止。\n\n"
        "例：NEARLINE_HISTORY_FLUSH_S=60 nearline history",
    )
)
@click.option(
    "--once",
    is_flag=True,
    help=say("Write what the log holds now, then end.", "写完日志中现有的事件后结束。"),
)
def history(once: bool) -> None:
    from ingestion.archive.app import run
    from nearline import logs
    from nearline.settings import load
    from nearline.stopping import stop_on_signals

    logs.start("history")
    os.nice(_YIELDS)
    with stop_on_signals() as stop:
        run(load(), stop, once=once)
