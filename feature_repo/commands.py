"""`nearline features`: the feature store for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from nearline.say import say

if TYPE_CHECKING:
    from rich.progress import Progress


@click.group(
    help=say(
        "Features: register them, read them, compute their past.\n\n"
        "Example: nearline features get --customer customer-00042",
        "特征：注册、读取、回溯计算。\n\n示例：nearline features get --customer customer-00042",
    )
)
def features() -> None:
    pass


@features.command(
    help=say(
        "Register entities, views and services with Feast. Safe to repeat; the same as "
        "`feast apply` in feature_repo/.",
        "向 Feast 注册实体、视图与服务。可重复执行；等同于在 feature_repo/ 中运行 `feast apply`。",
    )
)
def apply() -> None:
    from nearline import settings

    home = settings.load()
    from feature_repo.retrieval import apply as register

    store = register(home)
    services = ", ".join(sorted(service.name for service in store.list_feature_services()))
    click.echo(say(f"Registered in {home.registry}: {services}", f"已注册：{services}"))


@features.command(
    help=say(
        "Compute the offline feature rows from history: one for each change of a customer's or "
        "an item's state. Training reads them point in time. Does nothing when history has not "
        "changed.",
        "由历史事件计算离线特征：客户或商品状态的每次变化一行，供训练按时间点读取。"
        "历史未变则跳过。",
    )
)
def snapshot() -> None:
    from nearline import history, offline, settings

    home = settings.load()
    total = offline.events_in(home.history)
    if not total:
        click.echo(history.none_yet(home.history), err=True)
    with _progress() as progress:
        task = progress.add_task(say("Events folded", "已折叠事件"), total=total)
        done = offline.snapshot(
            home.history, home.offline, lambda events: progress.advance(task, events)
        )
        progress.update(task, completed=total)
    held = f"{done.customer_rows:,} + {done.item_rows:,}"
    size_mb = done.size_bytes / 1e6
    if done.unchanged:
        click.echo(
            say(
                f"History has not changed: {held} rows (customers + items), {size_mb:.1f} MB",
                f"历史未变：{held} 行（客户 + 商品），{size_mb:.1f} MB",
            )
        )
    else:
        click.echo(
            say(
                f"{done.events:,} events made {held} rows (customers + items), {size_mb:.1f} MB",
                f"{done.events:,} 个事件生成 {held} 行（客户 + 商品），{size_mb:.1f} MB",
            )
        )


@features.command(
    help=say(
        "Read a customer's (or an item's) features as they are now, through the Feast SDK.\n\n"
        "Example: nearline features get --customer customer-00042",
        "通过 Feast SDK 读取客户（或商品）当前特征。\n\n"
        "示例：nearline features get --customer customer-00042",
    )
)
@click.option("--customer", "customer_id", help=say("Customer id.", "客户编号。"))
@click.option("--item", "item_id", help=say("Item id.", "商品编号。"))
def get(customer_id: str | None, item_id: str | None) -> None:
    entity_id = customer_id or item_id
    if entity_id is None or (customer_id and item_id):
        raise click.UsageError(
            say("Name one: --customer ID or --item ID", "请指定其一：--customer 或 --item")
        )
    import redis
    from rich.console import Console
    from rich.table import Table

    from feature_repo.finishing import CUSTOMER, ITEM
    from feature_repo.retrieval import apply as register
    from feature_repo.retrieval import online, open_store
    from nearline.clock import SystemClock
    from nearline.embedded.running import settings_of_what_runs
    from nearline.errors import StoreUnavailable

    home = settings_of_what_runs()
    profile = CUSTOMER if customer_id else ITEM
    store = open_store(home) if home.registry.is_file() else register(home)
    try:
        row = online(store, profile.service, [entity_id], SystemClock().now_us()).iloc[0]
    except redis.RedisError as error:
        raise StoreUnavailable("Redis", home.redis_shown, type(error).__name__) from error
    table = Table(title=f"{profile.service}")
    for heading in (say("feature", "特征"), say("value", "值"), say("unit", "单位")):
        table.add_column(heading)
    table.add_column(say("meaning", "含义"))
    for feature in profile.features:
        value = row[feature.name]
        shown = "-" if value != value else f"{value:,.4g}" if value % 1 else f"{value:,.0f}"
        table.add_row(feature.name, shown, feature.unit, say(feature.en, feature.zh))
    Console().print(table)


@features.command(
    help=say(
        "Browse the registry: entities, views, services and their lineage (Feast's UI).\n\n"
        "Example: nearline features ui --port 7340, then open http://127.0.0.1:7340",
        "浏览注册表：实体、视图、服务及血缘（Feast UI）。\n\n"
        "示例：nearline features ui --port 7340，再打开 http://127.0.0.1:7340",
    )
)
@click.option("--port", default=7340, show_default=True)
def ui(port: int) -> None:
    from feature_repo.retrieval import apply as register
    from nearline import settings
    from nearline.embedded.valkey import port_is_free
    from nearline.errors import PermanentError

    home = settings.load()
    if not port_is_free(home.host, port):
        raise PermanentError(
            f"port {port} on {home.host} is taken: stop what uses it, or choose another, "
            f"such as `nearline features ui --port {port + 1}`"
        )
    store = register(home)
    click.echo(
        say(
            f"Feast UI: http://{home.host_shown}:{port}",
            f"Feast 界面：http://{home.host_shown}:{port}",
        )
    )
    store.serve_ui(host=home.host, port=port)


@features.command(
    help=say(
        "Print the variables that the plain `feast` command needs.\n\n"
        'Example: eval "$(nearline features env)" && cd feature_repo && feast apply',
        "输出原生 `feast` 命令所需的环境变量。\n\n"
        '示例：eval "$(nearline features env)" && cd feature_repo && feast apply',
    )
)
def env() -> None:
    import shlex

    from feature_repo.environment import variables
    from nearline.embedded.running import settings_of_what_runs

    for name, value in variables(settings_of_what_runs()).items():
        click.echo(f"export {name}={shlex.quote(value)}")


@features.command(
    help=say(
        "Write docs/features.md from the catalogue of features. With --check: only say whether "
        "it is up to date.",
        "由特征目录生成 docs/features.md。加 --check 仅检查是否最新。",
    )
)
@click.option("--check", is_flag=True, help=say("Change nothing.", "不改动文件。"))
def docs(check: bool) -> None:
    from pathlib import Path

    from feature_repo.docs_page import PATH, render
    from nearline.errors import PermanentError

    page = Path(__file__).parents[1] / PATH
    if page.is_file() and page.read_text() == render():
        click.echo(say(f"{PATH} is up to date", f"{PATH} 已是最新"))
    elif check:
        raise PermanentError(f"{PATH} differs from the catalogue: run `nearline features docs`")
    else:
        page.parent.mkdir(exist_ok=True)
        page.write_text(render())
        click.echo(say(f"Wrote {PATH}", f"已写入 {PATH}"))


@features.command(
    help=say(
        "Measure that training and serving see the same numbers: seeded events through the real "
        "log, store and Feast, in a temporary folder; online vectors against offline ones, bit "
        "for bit.\n\nExample: nearline features parity --pairs 1000",
        "度量训练与服务特征一致性：种子事件经真实日志、存储与 Feast（临时目录），"
        "在线向量与离线向量逐位比较。\n\n示例：nearline features parity --pairs 1000",
    )
)
@click.option(
    "--pairs", default=1_000, show_default=True, help=say("Of each entity.", "每类数量。")
)
@click.option("--seed", default=7, show_default=True)
def parity(pairs: int, seed: int) -> None:
    import tempfile
    from pathlib import Path

    from feature_repo.parity import measure
    from nearline.embedded.valkey import EmbeddedValkey, free_port
    from nearline.settings import Settings

    with (
        tempfile.TemporaryDirectory() as folder,
        EmbeddedValkey(Path(folder) / "valkey", free_port()) as server,
        _progress() as progress,
    ):
        task = progress.add_task(say("Pairs read online", "已在线读取"), total=pairs)
        found = measure(
            Settings(home=Path(folder) / "home", redis_url=server.url),
            pairs=pairs,
            seed=seed,
            progress=lambda done: progress.advance(task, done),
        )
        progress.update(task, completed=pairs)
    click.echo(found.summary())
    if not found.holds:
        raise SystemExit(1)


def _progress() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
    )
