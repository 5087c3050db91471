"""`nearline retrain`: train, pass the gate or leave the champion; once, or on a schedule."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nearline.say import say
from training.commands import quick_option, ray_option, recipe_option, stopped
from training.model_commands import REFUSED, policy_option
from training.recipes import RECIPES

if TYPE_CHECKING:
    from nearline.settings import Settings


@click.command(
    help=say(
        "Learn again from all of the history, and let the new version serve if "
        "mlflow/policies/promotion.yaml allows. When training fails, is stopped or killed, or "
        "the policy refuses, the champion stays; the next run goes on where this one was if "
        "history has not grown since. "
        "Nothing is trained while history has not changed.\n\n"
        "Once, now:\n\n  nearline retrain\n\n"
        "Until you stop it, every night at three (UTC):\n\n"
        "  nearline retrain --every 24h --at 03:00\n\n"
        "What happened, and what comes next:\n\n  nearline retrain --status",
        "用全部历史重新训练；满足 mlflow/policies/promotion.yaml 时上线。训练失败、被中断、被杀死或"
        "未达门槛时，线上模型不变；历史未增长时，下次运行从中断处继续。"
        "历史没有变化时不训练。\n\n"
        "立即运行一次：\n\n  nearline retrain\n\n"
        "持续运行，每天 03:00（UTC）：\n\n  nearline retrain --every 24h --at 03:00\n\n"
        "查看结果与下次时间：\n\n  nearline retrain --status",
    )
)
@click.option(
    "--every", default=None, metavar="TIME", help=say("90m, 24h or 1d.", "90m、24h 或 1d。")
)
@click.option(
    "--at",
    default=None,
    metavar="HH:MM",
    help=say("With --every: the time of day that it keeps to, UTC.", "与 --every 合用：UTC 时刻。"),
)
@recipe_option
@quick_option
@click.option("--force", is_flag=True, help=say("Train even without news.", "没有新数据也训练。"))
@click.option(
    "--cold",
    is_flag=True,
    help=say(
        "Let the encoder begin from nothing, not where the champion's stood.",
        "序列模型从头训练，不从线上模型继续。",
    ),
)
@policy_option
@click.option(
    "--status", is_flag=True, help=say("Show past and next runs.", "显示历次与下次训练。")
)
@ray_option
@click.option("--why", default="", hidden=True)
def retrain(
    every: str | None,
    at: str | None,
    recipe: str,
    quick: bool,
    force: bool,
    cold: bool,
    policy: Path | None,
    status: bool,
    ray: str,
    why: str,
) -> None:
    """Once, as a schedule, or only a look."""
    from dataclasses import replace

    from nearline import settings as settings_module
    from nearline.errors import PermanentError
    from training.distributed import cluster

    settings = settings_module.load()
    recipe = "quick" if quick else recipe
    if status:
        _show(settings)
        return
    settings = replace(settings, ray_address=cluster.checked(ray or settings.ray_address))
    if every:
        words = ["--recipe", recipe, *(["--policy", str(policy.absolute())] if policy else [])]
        words += ["--ray", ray] if ray else []
        words += [word for word, on in (("--cold", cold), ("--force", force)) if on]
        _schedule(settings, every, at, words)
    elif at:
        raise PermanentError("--at says when a schedule runs: give --every, such as --every 24h")
    else:
        _once(settings, recipe, cold, policy, why or say("asked for", "手动"), force)


def _once(
    settings: Settings, recipe: str, cold: bool, policy: Path | None, why: str, force: bool
) -> None:
    import os
    from dataclasses import replace

    from rich.console import Console

    from nearline.clock import SystemClock
    from nearline.embedded.shell import run_until_stopped, said_when_stopped

    # Threads that spin while they wait make a busy machine up to 40 times slower (measured).
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    log = Console(stderr=True)
    log.print(say("loading torch, Feast and MLflow ...", "正在加载 torch、Feast 与 MLflow ……"))
    with run_until_stopped(), said_when_stopped(stopped()):
        from training import promotion, retraining
        from training.progress import Bars

        config = replace(RECIPES[recipe](), warm_start=not cold)
        asked = retraining.Asked(config, policy or promotion.POLICY, why, force)
        with Bars(log) as bars:
            run = retraining.once(settings, asked, SystemClock(), bars)
    click.echo(run.told())
    raise SystemExit({"refused": REFUSED, "failed": 1}.get(run.verdict.value, 0))


def _schedule(settings: Settings, every: str, at: str | None, words: Sequence[str]) -> None:
    import sys

    from nearline.clock import SystemClock, utc
    from training import schedule
    from training.retraining_loop import Loop

    clock = SystemClock()

    def command(why: str) -> list[str]:
        return [sys.executable, "-m", "nearline", "retrain", "--why", why, *words]

    def tell(sentence: str) -> None:
        click.echo(f"{utc(clock.now_us()):%Y-%m-%d %H:%M:%S} UTC  {sentence}", err=True)

    Loop(settings.home, schedule.parse(every, at), command, clock, tell).run()
    click.echo(say("Stopped. The champion is as it was.", "已停止，线上模型未变。"), err=True)


def _show(settings: Settings) -> None:
    from rich.console import Console
    from rich.table import Table

    from nearline import retraining
    from nearline.clock import SystemClock, utc
    from training import lock, schedule

    state = retraining.read(settings.home)
    alive = lock.is_held(settings.home, lock.TRAINING)
    if not state.runs and state.running is None:
        click.echo(
            say(
                "Nothing was retrained here yet. Once: `nearline retrain`; every day: "
                "`nearline retrain --every 24h --at 03:00`.",
                "尚未重新训练。一次：`nearline retrain`；"
                "每天：`nearline retrain --every 24h --at 03:00`。",
            )
        )
    else:
        table = Table()
        for heading in (
            say("began (UTC)", "开始 (UTC)"),
            say("took", "用时"),
            say("verdict", "结果"),
            say("why it ran", "原因"),
            say("what happened", "说明"),
        ):
            table.add_column(heading, overflow="fold")
        for run in reversed(state.runs[-10:]):
            began = f"{utc(run.started_us):%Y-%m-%d %H:%M}"
            table.add_row(began, f"{run.seconds:.0f} s", run.verdict.word, run.why, run.sentence)
        Console().print(table)
    if state.running is not None:
        began = f"{utc(state.running.started_us):%Y-%m-%d %H:%M}"
        click.echo(
            say(f"Training since {began} UTC.", f"自 {began} UTC 起训练中。")
            if alive
            else say(f"The run of {began} UTC was killed.", f"{began} UTC 的训练被杀死。")
        )
    rhythm = retraining.read_schedule(settings.home)
    if rhythm is not None and lock.is_held(settings.home, lock.SCHEDULE):
        click.echo(schedule.told_next(rhythm, state, alive, SystemClock().now_us()))
    else:
        click.echo(say("No schedule runs here.", "没有运行中的定时训练。"))
