"""`nearline train`: from history to a registered bundle. `nearline models` comes along."""

from __future__ import annotations

from pathlib import Path

import click

from nearline.say import say
from training.model_commands import models, policy_option
from training.recipes import RECIPES


def stopped() -> str:
    """What a training says when Ctrl-C ends it."""
    return say(
        "\nStopped. What the encoder has learnt is kept: run the same command to go on, while "
        "history is the same. The champion is as it was.",
        "\n已停止。编码器进度已保存：历史未变时重新运行同一命令即可继续，线上模型未变。",
    )


ray_option = click.option(
    "--ray",
    default="",
    metavar="ADDRESS",
    help=say(
        "Build features and teach the encoder on the Ray cluster of this machine: auto, "
        "host:port, or local. Default: NEARLINE_RAY_ADDRESS, else without Ray.",
        "在本机所属的 Ray 集群上构建特征与训练编码器：auto、host:port 或 local。"
        "默认 NEARLINE_RAY_ADDRESS，否则不用 Ray。",
    ),
)

recipe_option = click.option(
    "--recipe",
    type=click.Choice(list(RECIPES)),
    default="demo_shop",
    show_default=True,
    help=say(
        "Named configuration: demo_shop for the simulated shop, events for recorded logs.",
        "配置名称：demo_shop 用于模拟商店，events 用于真实日志。",
    ),
)
quick_option = click.option(
    "--quick",
    is_flag=True,
    help=say("The same as --recipe quick, for tests.", "等同 --recipe quick，用于测试。"),
)


@click.command(
    help=say(
        "Learn everything from the history and register it as one bundle: sequence encoder, "
        "index, ranker and churn models.\n\n"
        "Reads NEARLINE_HOME/history and Feast's offline features, which it brings up to date. "
        "Stopped by Ctrl-C, it goes on where it was when you run it again on the same history; "
        "the champion that "
        "serves is touched only by --promote, and only if mlflow/policies/promotion.yaml "
        "allows.\n\n"
        "Example:\n\n  nearline train --promote",
        "从历史数据训练并注册为一个模型包：序列编码器、索引、排序模型与流失模型。\n\n"
        "读取 NEARLINE_HOME/history 与 Feast 离线特征（自动更新）。"
        "按 Ctrl-C 中断后，历史未变时再次运行可继续；"
        "只有 --promote 且满足 mlflow/policies/promotion.yaml 时才会替换线上模型。\n\n"
        "示例：\n\n  nearline train --promote",
    )
)
@recipe_option
@quick_option
@click.option(
    "--promote",
    is_flag=True,
    help=say("Make it champion if the policy allows.", "满足门槛时设为线上模型。"),
)
@policy_option
@ray_option
def train(recipe: str, quick: bool, promote: bool, ray: str, policy: Path | None) -> None:
    import os
    from dataclasses import replace

    from rich.console import Console

    from nearline import settings as settings_module
    from nearline.clock import SystemClock
    from training.distributed import cluster

    # Threads that spin while they wait make a busy machine up to 40 times slower (measured);
    # OpenMP reads this once, when torch, FAISS or XGBoost is first imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    settings = settings_module.load()
    settings = replace(settings, ray_address=cluster.checked(ray or settings.ray_address))
    out, log = Console(), Console(stderr=True)
    log.print(say("loading torch, Feast and MLflow ...", "正在加载 torch、Feast 与 MLflow ……"))
    try:
        from training import gate, job, promotion, report
        from training.progress import Bars
        from training.tracking import Registry

        config = RECIPES["quick" if quick else recipe]()
        with Bars(log) as bars:
            trained = job.train(settings, config, SystemClock(), bars)
    except KeyboardInterrupt:
        log.print(stopped())
        raise SystemExit(130) from None
    report.show(trained.metrics, bars.seconds, config.churn.horizons_days, out)
    if promote:
        registry = Registry(settings.mlflow_uri, settings.mlflow_artifacts)
        newest_us = gate.newest_us(settings.history, SystemClock().now_us())
        gate.promote(registry, trained.version, policy or promotion.POLICY, newest_us)
        out.print(
            say(
                f"Version {trained.version} is champion.",
                f"版本 {trained.version} 已成为线上模型。",
            )
        )
    else:
        out.print(
            say(
                f"Version {trained.version} is challenger. To let it serve: "
                f"nearline models promote {trained.version}",
                f"版本 {trained.version} 为候选。上线：nearline models promote {trained.version}",
            )
        )


__all__ = ["models", "train"]
