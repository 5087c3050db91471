"""`nearline demo`: prepares what is missing, starts everything, tells the story."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from nearline.say import say

if TYPE_CHECKING:
    from rich.console import Console

    from nearline.demo.stages import Stage
    from nearline.embedded.stack import Stack
    from nearline.settings import Settings


@click.command(
    help=say(
        "See the main job happen: recommend, three clicks, recommend, with the time it took; "
        "then two customers' churn scores.\n\n"
        "The first run makes a simulated shop, features and models (a few minutes); later runs "
        "reuse them. Everything is kept in one folder (.nearline/demo); Ctrl-C stops all of it.\n\n"
        "Examples:\n\n  nearline demo\n\n  nearline demo --once\n\n"
        "  nearline demo --events events.parquet --mapping retailrocket",
        "看主流程发生：推荐、三次点击、再推荐，并显示耗时；然后是两位顾客的流失概率。\n\n"
        "首次运行会生成模拟商店、特征和模型（几分钟），之后复用。数据都在 .nearline/demo，"
        "Ctrl-C 停止全部。\n\n示例：\n\n  nearline demo\n\n  nearline demo --once",
    )
)
@click.option("--once", is_flag=True, help=say("End after the story.", "讲完即结束。"))
@click.option(
    "--events",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help=say("Tell it on a recorded log instead.", "使用真实日志文件。"),
)
@click.option(
    "--mapping",
    default="retailrocket",
    show_default=True,
    help=say(
        "For --events: a mapping file, or the name of one that ships (retailrocket, taobao).",
        "--events 的字段映射文件或内置名称。",
    ),
)
@click.option("--any-port", is_flag=True, help=say("Choose free ports.", "自动选择空闲端口。"))
@click.option(
    "--picture",
    type=click.Path(dir_okay=False, path_type=Path),
    help=say("Also draw the story into this SVG file.", "同时把结果画成 SVG 文件。"),
)
@click.option("--clean", is_flag=True, help=say("Start from nothing.", "从头开始。"))
def demo(
    once: bool,
    events: Path | None,
    mapping: str,
    any_port: bool,
    picture: Path | None,
    clean: bool,
) -> None:
    """Prepare, start, tell."""
    import shutil
    import time
    from dataclasses import replace

    from rich.console import Console

    from nearline import settings as settings_module
    from nearline.demo.stages import events_stages, forget_if_stale, shop_stages
    from nearline.embedded.running import DEMO, DEMO_OF_EVENTS, demo_home
    from nearline.embedded.shell import attend, run_until_stopped, said_when_stopped
    from nearline.embedded.stack import (
        Stack,
        check_ports,
        clean_up_after_a_killed_run,
        with_free_ports,
    )

    console = Console(stderr=True)
    settings = settings_module.load()
    home = demo_home(settings.home, DEMO_OF_EVENTS if events else DEMO)
    settings = replace(settings, home=home)
    settings = with_free_ports(settings) if any_port else settings
    stages = events_stages(events.absolute(), mapping) if events else shop_stages()
    _check_disk(settings.home)
    with run_until_stopped() as stopped:
        clean_up_after_a_killed_run(settings.home)  # Before its traces, or its data, are removed.
        if clean:
            shutil.rmtree(settings.home, ignore_errors=True)
        elif forget_if_stale(settings.home, time.time()):
            console.print(
                say("the demo's history is days old: making it again", "历史已过期，重新生成")
            )
        check_ports(settings)
        kept = say(
            "stopping; what is finished is kept: run the same command again to go on",
            "正在停止；已完成的部分会保留，重新运行同一命令即可继续",
        )
        with Stack(settings) as stack, said_when_stopped(kept):
            stack.store()
            prepare(console, stack, stages)
            with console.status(say("starting the live parts", "启动在线部件")):
                stack.live("collector", "worker", "history", "serve")
            failures = play(settings, picture)
            if not once:
                attend(console, stack, stopped)
            console.print(say("stopping", "正在停止"))
    raise SystemExit(1 if failures and once else 0)


def prepare(console: Console, stack: Stack, stages: list[Stage]) -> None:
    """Run the stages that are missing, saying which and how long each took."""
    from nearline.demo.stages import Preparation

    work = Preparation(stack.settings.home, stack.settings.redis_address, stack.environ)
    todo = work.missing(stages)
    if not todo:
        console.print(
            say("history, features and models are there: reusing", "复用已有历史、特征和模型")
        )
    for place, (stage, fingerprint) in enumerate(todo, start=1):
        console.print(f"[bold]{place}/{len(todo)}[/bold] {stage.title}")
        seconds = work.run(stage, fingerprint)
        console.print(f"    [dim]{seconds:.1f} s[/dim]")


def play(settings: Settings, picture: Path | None) -> tuple[str, ...]:
    """Tell the story on stdout; returns why the promise was not kept, if it was not."""
    import json

    from rich.console import Console

    from nearline.client import Client
    from nearline.demo.cast import Cast
    from nearline.demo.story import tell
    from nearline.demo.view import draw, render
    from nearline.write_keys import any_key

    counter = settings.home / "stages" / "runs.json"
    run = json.loads(counter.read_text()) + 1 if counter.is_file() else 1
    counter.write_text(json.dumps(run))
    with Client(
        collector_url=f"http://{settings.host}:{settings.collector_http_port}",
        api_url=f"http://{settings.host}:{settings.api_http_port}",
        write_key=any_key(settings.home),
        # The customer whom we play is of this shop or log, whose events carry these grants.
        consent={"analytics": True, "personalization": True},
    ) as client:
        story = tell(client, Cast(settings.history, run))
    Console().print(render(story))
    if picture is not None:
        draw(story, picture)
    return story.failures


def _check_disk(home: Path) -> None:
    import shutil

    from nearline.errors import PermanentError

    home.mkdir(parents=True, exist_ok=True)
    free_gb = shutil.disk_usage(home).free / 1e9
    if free_gb < 1.5:
        raise PermanentError(
            f"only {free_gb:.1f} GB are free in {home}, and the demo needs 1.5 GB: free some "
            "space, or choose another disk with NEARLINE_HOME=/path"
        )
