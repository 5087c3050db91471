"""`nearline up`: the embedded system in the foreground."""

from __future__ import annotations

import click

from nearline.say import say


@click.command(
    help=say(
        "Start the whole system on this machine and keep it running until Ctrl-C: Valkey, "
        "collector, stream worker, history writer, recommendations.\n\n"
        "Data lies in NEARLINE_HOME (.nearline). To see it work first: `nearline demo`.",
        "在本机启动整个系统，按 Ctrl-C 停止：Valkey、采集器、流处理、历史写入、推荐服务。\n\n"
        "数据在 NEARLINE_HOME（默认 .nearline）。想先看效果：`nearline demo`。",
    )
)
@click.option(
    "--any-port",
    is_flag=True,
    help=say("Choose free ports instead of the usual ones.", "自动选择空闲端口。"),
)
def up(any_port: bool) -> None:
    """Start, show the addresses, wait."""
    from rich.console import Console

    from nearline import settings as settings_module
    from nearline.embedded.shell import attend, run_until_stopped, said_when_stopped
    from nearline.embedded.stack import Stack, check_ports, with_free_ports

    settings = settings_module.load()
    settings = with_free_ports(settings) if any_port else settings
    check_ports(settings)
    console = Console(stderr=True)
    stopping = say("stopping", "正在停止")
    with run_until_stopped() as stopped, Stack(settings) as stack, said_when_stopped(stopping):
        with console.status(say("starting", "启动中")):
            stack.store()
            stack.live("collector", "worker", "history", "serve")
        attend(console, stack, stopped)
        console.print(stopping)
