"""`nearline scenes`: what is shown where, and by which rules, for those who decide it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from nearline.say import say

if TYPE_CHECKING:
    from serving.policy.model import Campaign, Policy


@click.group(
    help=say(
        "Scenes and rules: what is shown where in the shop, and what never is.\n\n"
        "They are YAML files in the policy folder (NEARLINE_POLICY; else `policy` in the home "
        "folder). Until you have your own, the shipped ones hold. `nearline serve` takes up a "
        "change within a second, and keeps what was before if it has mistakes. "
        "How to write them: docs/scenes.md\n\n"
        "Example:\n\n\b\n"
        "  nearline scenes init          copy the shipped files, then edit them\n"
        "  nearline scenes check         look for mistakes before they are taken up\n"
        "  nearline scenes show cart     what holds for one scene",
        "场景与规则：商城各处展示什么、绝不展示什么。\n\n"
        "它们是策略目录中的 YAML 文件（NEARLINE_POLICY；默认为主目录下的 policy）。"
        "没有自己的文件时使用内置文件。`nearline serve` 在一秒内采用改动；"
        "若有错误则保留此前的版本。写法见 docs/scenes.md\n\n"
        "示例：\n\n\b\n"
        "  nearline scenes init          复制内置文件，然后修改\n"
        "  nearline scenes check         在生效前检查错误\n"
        "  nearline scenes show cart     查看某一场景的设置",
    )
)
def scenes() -> None:
    pass


@scenes.command(
    "list",
    help=say(
        "All scenes: what a question must bring, how many items it gets and at most, the channel.",
        "列出全部场景：请求须带什么、默认与最多条数、所用渠道。",
    ),
)
def list_() -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    policy = _policy()
    table = Table(
        title=say(f"Policy {policy.version}", f"策略 {policy.version}"), box=box.SIMPLE_HEAD
    )
    for en, zh in (
        ("scene", "场景"),
        ("title", "名称"),
        ("needs", "须带"),
        ("items", "条数"),
        ("channel", "渠道"),
    ):
        table.add_column(say(en, zh), no_wrap=True)
    for name, scene in policy.scenes.items():
        table.add_row(
            name,
            say(scene.title.en, scene.title.zh),
            "" if scene.needs == "none" else scene.needs,
            f"{scene.length.default} ≤ {scene.length.most}",
            scene.channel,
        )
    Console().print(table)
    click.echo(_origin())


@scenes.command(
    help=say(
        "One scene as YAML, with the rules and campaigns that hold for it.\n\n"
        "The output may be copied into a file of your own. "
        "Example: nearline scenes show cart --shipped",
        "以 YAML 显示一个场景，并注明适用的规则与活动。\n\n"
        "输出可直接复制到自己的文件。示例：nearline scenes show cart --shipped",
    )
)
@click.argument("name")
@click.option(
    "--shipped",
    "from_shipped",
    is_flag=True,
    help=say("As it ships, whatever your files say.", "显示内置版本，忽略自己的文件。"),
)
def show(name: str, from_shipped: bool) -> None:
    from serving.policy.load import shipped

    policy = shipped() if from_shipped else _policy()
    if name not in policy.scenes:
        known = ", ".join(policy.scenes)
        raise click.ClickException(
            say(f"There is no scene {name!r}: try {known}", f"没有场景 {name!r}，可用：{known}")
        )
    rules = policy.scene_rules[name]
    click.echo(_yaml({"scenes": {name: policy.scenes[name]}}), nl=False)
    click.echo(say("\n# The rules that hold here:", "\n# 此处适用的规则："))
    for line in _yaml(rules.settings).splitlines():
        click.echo(f"#   {line}")
    if rules.campaigns:
        click.echo(say("# Campaigns:", "# 活动："))
    for campaign in rules.campaigns:
        click.echo(
            f"#   {campaign.id}: {campaign.starts:%Y-%m-%d %H:%M} - "
            f"{campaign.ends:%Y-%m-%d %H:%M} UTC, {_stage(campaign)}"
        )


@scenes.command(
    help=say(
        "Look for mistakes in a folder of policy files; the policy folder if none is named.\n\n"
        "Prints `file:line: what is wrong and what to do` for each and ends with 1; with 0 if "
        "there is none. Fit for a hook or a pipeline.\n\n"
        "Example: nearline scenes check ./policy",
        "检查策略目录中的错误；不写目录则检查当前策略目录。\n\n"
        "逐条打印 `文件:行号: 错误与改法`，有错误时以 1 结束，否则为 0。"
        "可用于提交钩子或流水线。\n\n"
        "示例：nearline scenes check ./policy",
    )
)
@click.argument(
    "folder", required=False, type=click.Path(exists=True, file_okay=False, path_type=Path)
)
@click.pass_context
def check(ctx: click.Context, folder: Path | None) -> None:
    from serving.policy.folder import read_folder
    from serving.policy.load import PolicyRefused
    from serving.policy.telling import told

    named = folder or _folder()
    try:
        policy = read_folder(named)
    except PolicyRefused as refused:
        click.echo(told(named, refused.problems))
        count = len(refused.problems)
        click.secho(
            say(
                f"Mistakes: {count}. What served before goes on serving until they are mended.",
                f"共 {count} 处错误。修正之前，继续使用此前的版本。",
            ),
            fg="red",
            err=True,
        )
        ctx.exit(1)
    stages = [_stage(campaign) for campaign in policy.campaigns]
    counts = ", ".join(f"{stages.count(stage)} {stage}" for stage in dict.fromkeys(stages))
    counts = f" ({counts})" if counts else ""
    click.echo(
        say(
            f"No mistakes: {len(policy.scenes)} scenes, {len(stages)} campaigns{counts}, "
            f"version {policy.version}.",
            f"没有错误：{len(policy.scenes)} 个场景，{len(stages)} 个活动{counts}，"
            f"版本 {policy.version}。",
        )
    )
    if folder is None:
        click.echo(_origin())


@scenes.command(
    help=say(
        "Copy the shipped files into the policy folder, to be edited. Files that are there "
        "already stay as they are.",
        "把内置文件复制到策略目录以供修改。已有的文件保持不变。",
    )
)
def init() -> None:
    from serving.policy.load import SHIPPED

    folder = _folder()
    folder.mkdir(parents=True, exist_ok=True)
    for source in sorted(SHIPPED.glob("*.yaml")):
        target = folder / source.name
        try:
            with target.open("xb") as file:
                file.write(source.read_bytes())
        except FileExistsError:
            click.echo(say(f"kept     {target}", f"保留 {target}"))
        else:
            click.echo(say(f"written  {target}", f"写入 {target}"))
    click.echo(
        say(
            "Edit them, then `nearline scenes check`. What serves with the same NEARLINE_HOME "
            "takes up a change within a second.",
            "请修改文件，然后运行 `nearline scenes check`。使用同一 NEARLINE_HOME 的服务会在一秒内"
            "应用改动。",
        )
    )


def _folder() -> Path:
    from nearline.embedded.running import settings_of_what_runs

    return settings_of_what_runs().policy_folder


def _policy() -> Policy:
    from serving.policy.folder import read_folder

    return read_folder(_folder())


def _origin() -> str:
    folder = _folder()
    if any(folder.glob("*.y*ml")):
        return say(f"From {folder}", f"来自 {folder}")
    return say(
        f"These are the shipped ones: {folder} has no files. `nearline scenes init` copies them.",
        f"以上为内置设置：{folder} 中没有文件。`nearline scenes init` 可复制它们。",
    )


def _stage(campaign: Campaign) -> str:
    from datetime import UTC, datetime, timedelta

    from nearline.clock import SystemClock

    now = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=SystemClock().now_us())
    if now < campaign.starts:
        return say("to come", "未开始")
    return say("live", "进行中") if now < campaign.ends else say("over", "已结束")


def _yaml(value: object) -> str:
    """YAML as a person would write it; what a scene does not override is left out."""
    import msgspec
    import yaml

    plain = msgspec.json.decode(msgspec.json.encode(value, order="deterministic"))
    return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, default_flow_style=None)
