"""`nearline train` and `nearline models`: from history to a registered bundle, and its aliases."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from nearline.say import say

if TYPE_CHECKING:
    from training.tracking import Registry

_POLICY = click.option(
    "--policy",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    default=None,
    help=say(
        "Thresholds that a champion must meet; default mlflow/policies/promotion.yaml.",
        "上线门槛文件；默认 mlflow/policies/promotion.yaml。",
    ),
)


@click.command(
    help=say(
        "Learn everything from the history and register it as one bundle: sequence encoder, "
        "index, ranker and churn models.\n\n"
        "Reads NEARLINE_HOME/history and Feast's offline features, which it brings up to date. "
        "Stopped by Ctrl-C, it goes on where it was when you run it again; the champion that "
        "serves is touched only by --promote, and only if mlflow/policies/promotion.yaml "
        "allows.\n\n"
        "Example:\n\n  nearline train --promote",
        "从历史数据训练并注册为一个模型包：序列编码器、索引、排序模型与流失模型。\n\n"
        "读取 NEARLINE_HOME/history 与 Feast 离线特征（自动更新）。按 Ctrl-C 中断后再次运行可继续；"
        "只有 --promote 且满足 mlflow/policies/promotion.yaml 时才会替换线上模型。\n\n"
        "示例：\n\n  nearline train --promote",
    )
)
@click.option(
    "--recipe",
    type=click.Choice(["demo_shop", "events", "retailrocket", "quick"]),
    default="demo_shop",
    show_default=True,
    help=say(
        "Named configuration: demo_shop for the simulated shop, events for recorded logs.",
        "配置名称：demo_shop 用于模拟商店，events 用于真实日志。",
    ),
)
@click.option(
    "--quick",
    is_flag=True,
    help=say("The same as --recipe quick, for tests.", "等同 --recipe quick。"),
)
@click.option(
    "--promote",
    is_flag=True,
    help=say("Make it champion if the policy allows.", "满足门槛时设为线上模型。"),
)
@_POLICY
def train(recipe: str, quick: bool, promote: bool, policy: Path | None) -> None:
    import os

    from rich.console import Console

    from nearline import settings as settings_module
    from nearline.clock import SystemClock

    # Threads that spin while they wait make a busy machine up to 40 times slower (measured);
    # OpenMP reads this once, when torch, FAISS or XGBoost is first imported.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    settings = settings_module.load()
    out, log = Console(), Console(stderr=True)
    log.print(say("loading torch, Feast and MLflow ...", "正在加载 torch、Feast 与 MLflow ……"))
    try:
        from training import job, promotion, recipes, report
        from training.progress import Bars
        from training.tracking import Registry

        config = recipes.RECIPES["quick" if quick else recipe]()
        with Bars(log) as bars:
            trained = job.train(settings, config, SystemClock(), bars)
    except KeyboardInterrupt:
        log.print(
            say(
                "\nStopped. What the encoder has learnt is kept: run the same command to go on. "
                "The champion is as it was.",
                "\n已停止。编码器进度已保存：重新运行同一命令即可继续，线上模型未变。",
            )
        )
        raise SystemExit(130) from None
    report.show(trained.metrics, bars.seconds, config.churn.horizons_days, out)
    if promote:
        registry = Registry(settings.mlflow_uri, settings.mlflow_artifacts)
        job.promote(registry, trained.version, policy or promotion.POLICY)
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


@click.group(
    help=say(
        "Registered bundles: list them, promote one, roll back.\n\nExample: nearline models list",
        "已注册的模型包：列出、上线、回滚。\n\n示例：nearline models list",
    )
)
def models() -> None:
    pass


@models.command(
    "list",
    help=say(
        "Every registered bundle with its aliases and main figures, newest first.\n\n"
        "Example: nearline models list",
        "列出所有模型包、别名与主要指标，最新在前。\n\n示例：nearline models list",
    ),
)
def list_() -> None:
    from rich.console import Console
    from rich.table import Table

    from nearline.clock import utc

    table = Table(
        caption=say("NDCG@10 and AUC, each on its own test", "各自测试集上的 NDCG@10 与 AUC")
    )
    for heading in (
        say("version", "版本"),
        say("alias", "别名"),
        say("registered (UTC)", "注册时间 (UTC)"),
        "encoder",
        "ranker",
        "churn 14 d",
        "churn 30 d",
    ):
        table.add_column(heading)
    found = _registry().versions()
    for one in found:
        table.add_row(
            one.number,
            ", ".join(one.aliases),
            f"{utc(one.created_at_ms * 1_000):%Y-%m-%d %H:%M}",
            *(
                f"{one.metrics[name]:.4f}" if name in one.metrics else "-"
                for name in (
                    "encoder_ndcg_at_10",
                    "rank_ranker_ndcg_at_10",
                    "churn_14d_auc",
                    "churn_30d_auc",
                )
            ),
        )
    if found:
        Console().print(table)
    else:
        click.echo(
            say(
                "No bundle is registered yet. Make one with `nearline train`.",
                "尚无模型包。用 `nearline train` 训练一个。",
            )
        )


@models.command(
    help=say(
        "Write a registered bundle's figures as a Markdown page.\n\n"
        "Example: nearline models page docs/benchmarks/models-shop.md",
        "把模型包的指标写成 Markdown 页面。\n\n"
        "示例：nearline models page docs/benchmarks/models-shop.md",
    )
)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--version", default=None, help=say("Default: the champion.", "默认：线上模型。"))
@click.option(
    "--made-by",
    default="nearline train --promote",
    show_default=True,
    help=say("The command that trained it, for the page.", "训练所用命令，写入页面。"),
)
def page(file: Path, version: str | None, made_by: str) -> None:
    from nearline.bench.machine import this_machine
    from nearline.contracts.bundle import CHAMPION
    from nearline.errors import PermanentError

    registry = _registry()
    from training.page import to_markdown

    found = registry.version(version) if version else registry.at(CHAMPION)
    if found is None:
        raise PermanentError("no bundle is champion yet: `nearline train --promote` makes one")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(to_markdown(found, this_machine(), made_by), encoding="utf-8")
    click.echo(str(file))


@models.command(
    help=say(
        "Make VERSION champion, if the promotion policy allows; the champion until now becomes "
        "previous. Serving swaps within seconds.\n\nExample: nearline models promote 3",
        "在满足门槛时将 VERSION 设为线上模型；原线上模型成为 previous。\n\n"
        "示例：nearline models promote 3",
    )
)
@click.argument("version")
@_POLICY
def promote(version: str, policy: Path | None) -> None:
    registry = _registry()
    from training import job, promotion

    promoted = job.promote(registry, version, policy or promotion.POLICY)
    click.echo(
        say(f"Version {promoted.number} is champion.", f"版本 {promoted.number} 已成为线上模型。")
    )


@models.command(
    help=say(
        "Let the previous champion serve again; asking twice goes forth and back.\n\n"
        "Example: nearline models rollback",
        "恢复上一个线上模型；再次执行则换回。\n\n示例：nearline models rollback",
    )
)
def rollback() -> None:
    from nearline.contracts.bundle import PREVIOUS
    from nearline.errors import PermanentError

    registry = _registry()
    before = registry.at(PREVIOUS)
    if before is None:
        raise PermanentError(
            "there is no previous champion to go back to: `nearline models list` shows every "
            "version, `nearline models promote VERSION` chooses one"
        )
    registry.promote(before.number)
    click.echo(
        say(
            f"Version {before.number} is champion again.",
            f"版本 {before.number} 已恢复为线上模型。",
        )
    )


def _registry() -> Registry:
    from nearline import settings as settings_module

    settings = settings_module.load()
    from training.tracking import Registry

    return Registry(settings.mlflow_uri, settings.mlflow_artifacts)
