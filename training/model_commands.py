"""`nearline models`: look at registered bundles, check, compare, promote, bring one's own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from nearline.say import say

if TYPE_CHECKING:
    from nearline.settings import Settings
    from training.tracking import Registry

REFUSED = 3  # exit code of `check` when the policy says no; 1 is a fault, 2 a mistyped command

policy_option = click.option(
    "--policy",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    default=None,
    help=say(
        "What a champion must show; default mlflow/policies/promotion.yaml.",
        "上线门槛文件；默认 mlflow/policies/promotion.yaml。",
    ),
)


@click.group(
    help=say(
        "Registered bundles: list, show, check, compare, promote, roll back, bring your own.\n\n"
        "Example: nearline models list",
        "已注册的模型包：列出、查看、检查、比较、上线、回滚、自带模型。\n\n"
        "示例：nearline models list",
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

    registry, _ = _registry()
    from training import model_view

    found = registry.versions()
    if found:
        model_view.listed(found, Console())
    else:
        click.echo(
            say(
                "No bundle is registered yet. Make one with `nearline train`.",
                "尚无模型包。用 `nearline train` 训练一个。",
            )
        )


@models.command(
    help=say(
        "One bundle: the data window, history, features and code that it comes from, what is in "
        "it, and its figures.\n\nExample: nearline models show 3",
        "查看一个模型包：数据区间、历史、特征、代码版本、内容与指标。\n\n"
        "示例：nearline models show 3",
    )
)
@click.argument("version")
def show(version: str) -> None:
    from rich.console import Console

    registry, _ = _registry()
    from training import model_view

    found = registry.version(version)
    model_view.one(found, registry.manifest(found), Console())


@models.command(
    help=say(
        "Hold VERSION against the promotion policy: rule, value, bound, champion, verdict. Its "
        "files are loaded and timed in a process of their own, beside the champion's. The "
        "verdicts are kept with its run in MLflow. Nothing is promoted.\n\n"
        "Ends with 0 when it may become champion, with 3 when a rule is broken.\n\n"
        "Example: nearline models check 3",
        "按上线门槛检查 VERSION：规则、数值、门槛、线上值、结论；并在独立进程中与线上模型并排测速。"
        "结论写入 MLflow，不会上线。\n\n可上线时退出码 0，未通过时为 3。\n\n"
        "示例：nearline models check 3",
    )
)
@click.argument("version")
@policy_option
def check(version: str, policy: Path | None) -> None:
    from rich.console import Console

    registry, settings = _registry()
    from training import gate, model_view, promotion

    examined = gate.examine(registry, version, policy or promotion.POLICY, _newest_us(settings))
    model_view.verdicts(examined, Console())
    if examined.reasons:
        raise SystemExit(REFUSED)


@models.command(
    help=say(
        "Two bundles side by side: every figure with its difference and who is better, then what "
        "differs in data, features, code and form.\n\nExample: nearline models compare 3 5",
        "并排比较两个模型包：指标、差值、优劣，以及数据、特征、代码与形式的差异。\n\n"
        "示例：nearline models compare 3 5",
    )
)
@click.argument("a")
@click.argument("b")
def compare(a: str, b: str) -> None:
    from rich.console import Console

    registry, _ = _registry()
    from training import model_view
    from training.compare import Side

    sides = [Side(one, registry.manifest(one)) for one in map(registry.version, (a, b))]
    model_view.two(sides[0], sides[1], Console())


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

    registry, _ = _registry()
    from training.page import to_markdown

    found = registry.version(version) if version else registry.at(CHAMPION)
    if found is None:
        raise PermanentError("no bundle is champion yet: `nearline train --promote` makes one")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(to_markdown(found, this_machine(), made_by), encoding="utf-8")
    click.echo(str(file))


@models.command(
    help=say(
        "Write the report of VERSION's run as one HTML page with plots, to be opened in a "
        "browser: who finds the next item, for whom, ranker, scores, calibration. It lies in "
        "MLflow too, as report.html of the run.\n\n"
        "Example: nearline models report 3 report.html",
        "把 VERSION 的训练报告写成带图的单页 HTML，用浏览器打开；"
        "也在 MLflow 该次运行的 report.html 中。\n\n示例：nearline models report 3 report.html",
    )
)
@click.argument("version")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def report(version: str, file: Path) -> None:
    registry, _ = _registry()
    text = registry.report(registry.version(version))
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    click.echo(str(file))


@models.command(
    help=say(
        "Make VERSION champion, if the promotion policy allows (`check` shows it in full); the "
        "champion until now becomes previous. Serving swaps within seconds.\n\n"
        "Example: nearline models promote 3",
        "在满足门槛时将 VERSION 设为线上模型（详见 `check`）；原线上模型成为 previous。\n\n"
        "示例：nearline models promote 3",
    )
)
@click.argument("version")
@policy_option
def promote(version: str, policy: Path | None) -> None:
    registry, settings = _registry()
    from training import gate, promotion

    promoted = gate.promote(registry, version, policy or promotion.POLICY, _newest_us(settings))
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

    registry, _ = _registry()
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


@models.command(
    help=say(
        "Let no challenger serve beside the champion: the alias is taken away, the version "
        "stays.\n\nExample: nearline models withdraw",
        "撤下候选：仅移除 challenger 别名，版本保留。\n\n示例：nearline models withdraw",
    )
)
def withdraw() -> None:
    from nearline.contracts.bundle import CHALLENGER

    registry, _ = _registry()
    found = registry.at(CHALLENGER)
    if found is None:
        click.echo(say("There is no challenger.", "当前没有候选。"))
        return
    registry.withdraw(CHALLENGER)
    click.echo(
        say(f"Version {found.number} is challenger no more.", f"版本 {found.number} 不再是候选。")
    )


@models.command(
    help=say(
        "Put a ranker that you have trained into the champion's bundle, and register the whole "
        "as challenger: XGBoost (.ubj, .json), LightGBM text (.txt) or ONNX. It is checked "
        "(features, nothing executable, answers are numbers, speed) and judged on the "
        "champion's own test questions. `docs/notebooks/train_and_register.ipynb` shows how to "
        "get the features that it learns from.\n\n"
        "Example: nearline models bring --ranker mine.onnx --features features.txt --by ann",
        "把您训练的排序模型放入线上模型包并注册为候选：XGBoost（.ubj、.json）、"
        "LightGBM 文本（.txt）或 ONNX。将检查特征、不可执行、输出有效与速度，"
        "并用线上模型的测试题评估。\n\n"
        "示例：nearline models bring --ranker mine.onnx --features features.txt --by ann",
    )
)
@click.option(
    "--ranker",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help=say("The model's file.", "模型文件。"),
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["xgboost", "lightgbm", "onnx"]),
    default=None,
    help=say("Its form, to be sure: its suffix must agree.", "模型形式，用于核对：须与后缀一致。"),
)
@click.option(
    "--features",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    default=None,
    help=say(
        "Its inputs in order, one name a line; default all of serving's.",
        "输入特征，每行一个，按顺序；默认全部。",
    ),
)
@click.option("--by", required=True, help=say("Who brings it, for the lineage.", "提交人。"))
def bring(ranker: Path, form: str | None, features: Path | None, by: str) -> None:
    from nearline import settings

    settings.load()  # First: a mistake there should cost nobody seconds.
    from training import bring as bringing

    names = None
    if features is not None:
        names = [line.strip() for line in features.read_text("utf-8").splitlines() if line.strip()]
    brought = bringing.Desk().register_ranker(ranker, features=names, by=by, form=form)
    click.echo(str(brought))


def _registry() -> tuple[Registry, Settings]:
    from nearline import settings as settings_module

    settings = settings_module.load()
    from nearline.registry import give_up_soon
    from training.tracking import Registry

    give_up_soon()
    return Registry(settings.mlflow_uri, settings.mlflow_artifacts), settings


def _newest_us(settings: Settings) -> int:
    from nearline.clock import SystemClock
    from training import gate

    return gate.newest_us(settings.history, SystemClock().now_us())
