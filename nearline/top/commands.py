"""`nearline top`."""

from __future__ import annotations

import click

from nearline.say import say

_WINDOW_S = 30.0


@click.command(
    help=say(
        "Watch the running parts: freshness first, then answers a second and how long they took, "
        "what was degraded, rules, events, lags, memory. Reads their metrics pages at the ports of "
        "the settings; Ctrl-C ends it. Where the output is no terminal, one table is printed.\n\n"
        "Examples:\n\n  nearline top\n\n  nearline top --once --every 10\n\n"
        "  nearline top --json | jq .freshness_ms.p99",
        "实时观察各部件：先看新鲜度，再看每秒应答数与耗时、降级、规则、事件、延迟、内存。"
        "读取设置中各端口的指标页；按 Ctrl-C 退出。输出不是终端时只打印一张表。\n\n"
        "示例：\n\n  nearline top\n\n  nearline top --once --every 10\n\n"
        "  nearline top --json | jq .freshness_ms.p99",
    )
)
@click.option("--once", is_flag=True, help=say("Print one table and end.", "打印一张表后退出。"))
@click.option(
    "--json", "as_json", is_flag=True, help=say("Print the figures as JSON.", "以 JSON 输出。")
)
@click.option(
    "--every",
    "every_s",
    type=click.FloatRange(0.2, 3600),
    default=2.0,
    show_default=True,
    help=say("Seconds between two looks.", "两次读取之间的秒数。"),
)
@click.option(
    "--window",
    "window_s",
    type=click.FloatRange(0.2, 86_400),
    show_default=say(f"{_WINDOW_S:g}; of one table: --every", f"{_WINDOW_S:g}；单张表：--every"),
    help=say(
        "Seconds that the figures cover; one table is printed when they have passed.",
        "统计覆盖的秒数；只打印一张表时，等满后再打印。",
    ),
)
def top(once: bool, as_json: bool, every_s: float, window_s: float | None) -> None:
    """Look, and look again."""
    import time
    from collections import deque
    from contextlib import closing

    import msgspec
    from rich.console import Console
    from rich.live import Live

    from nearline.embedded.running import settings_of_what_runs
    from nearline.embedded.shell import run_until_stopped
    from nearline.top.figures import figures
    from nearline.top.probe import Probe
    from nearline.top.view import render

    console = Console()
    settings = settings_of_what_runs()
    with run_until_stopped() as stopped, closing(Probe(settings)) as probe:
        seen = deque([probe.snapshot()])
        if as_json or once or not console.is_terminal:
            if window_s is not None:
                told = say(f"counting for {window_s:g} s", f"统计 {window_s:g} 秒")
                click.echo(told, err=True)
            time.sleep(window_s or every_s)
            found = figures([*seen, probe.snapshot()])
            if as_json:
                click.echo(msgspec.json.format(msgspec.json.encode(found)).decode())
            else:
                console.print(render(found))
            return
        with Live(say("looking", "读取中"), console=console, screen=True) as live:

            def look() -> None:
                seen.append(probe.snapshot())
                while len(seen) > 2 and seen[-1].at_s - seen[1].at_s >= (window_s or _WINDOW_S):
                    seen.popleft()
                live.update(render(figures(seen)), refresh=True)

            stopped.wait_while(look, every_s)
