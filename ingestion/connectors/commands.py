"""`nearline import` and `nearline replay`."""

from __future__ import annotations

from pathlib import Path

import click

from nearline.say import say

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command(
    "import",
    help=say(
        "Bring a recorded log into the history: CSV, JSONL (both also .gz) or Parquet.\n\n"
        "A small mapping file says what its columns and words mean; retailrocket and taobao ship. "
        "Rows that cannot be taken are counted by reason and kept in a file. A run that was "
        "stopped or killed goes on where it was when the same command is given again; a finished "
        "one is left as it is.\n\n"
        "A mapping:\n\n\b\n"
        "  name: myshop\n"
        "  columns: {customer_id: client, item_id: sku, event: what, time: at, price: eur}\n"
        "  events: {seen: view_item, cart: add_to_cart, bought: purchase, scroll: ignore}\n"
        "  time: {format: iso, zone: Europe/Berlin}    # or epoch_s, epoch_ms, epoch_us\n"
        "  money: {unit: units, currency: EUR}         # 18.99; or cents\n"
        "  consent: [analytics, personalization]       # what these customers granted\n\n"
        "What else it may hold: ingestion/connectors/mapping.py.\n\n"
        "Examples:\n\n  nearline import events.parquet --mapping retailrocket\n\n"
        "  nearline import orders-2026-10.csv.gz --mapping myshop.yaml --name orders-2026-10",
        "把已有日志导入历史：CSV、JSONL（可 .gz）或 Parquet。\n\n"
        "用一个小的映射文件说明列与事件名的含义；内置 retailrocket 和 taobao。"
        "被拒的行按原因计数并另存。中断后用同一命令继续；已完成的导入不会重复。\n\n"
        "示例：\n\n  nearline import events.parquet --mapping retailrocket",
    ),
)
@click.argument("file", type=_FILE)
@click.option(
    "--mapping",
    required=True,
    help=say("A mapping file, or the name of one that ships.", "映射文件或内置名称。"),
)
@click.option("--name", default=None, help=say("Default: the mapping's.", "默认取映射的名称。"))
@click.option(
    "--replace",
    is_flag=True,
    help=say("Remove what was imported under this name first.", "先删除同名导入。"),
)
@click.option(
    "--shift-newest-to",
    "shift",
    default="",
    metavar="TIME",
    help=say(
        "Move all times so that the newest event is then: now, or 2026-11-01T12:00:00+08:00.",
        "整体平移时间，使最新事件落在该时刻：now 或 2026-11-01T12:00:00+08:00。",
    ),
)
@click.option(
    "--chunk-rows",
    default=50_000,
    show_default=True,
    type=click.IntRange(1, 1_000_000),
    help=say("Rows held in memory at a time.", "每次处理的行数。"),
)
def import_events(
    file: Path, mapping: str, name: str | None, replace: bool, shift: str, chunk_rows: int
) -> None:
    """Import a log into history."""
    import time

    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from ingestion.connectors import importing
    from ingestion.connectors import mapping as mapping_module
    from ingestion.connectors.view import print_report
    from ingestion.instants import instant_us
    from nearline import settings as settings_module
    from nearline.clock import SystemClock
    from nearline.stopping import interrupt_on_term

    settings = settings_module.load()
    known = mapping_module.load(mapping)
    name = name or known.name
    if fault := mapping_module.name_fault(name):
        raise click.BadParameter(fault, param_hint="--name")
    now_us = SystemClock().now_us()
    newest_us = (
        instant_us(
            shift, now_us, option="--shift-newest-to", examples=["2026-11-01T12:00:00+08:00"]
        )
        if shift
        else None
    )
    words = {
        "fingerprint": say("knowing the file", "识别文件"),
        "rows": say("reading rows", "读取数据"),
        "publish": say("writing history", "写入历史"),
    }
    started = time.monotonic()
    with (
        interrupt_on_term(),
        Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
        ) as progress,
    ):
        bar = progress.add_task("", total=None)

        def on_step(step: str, total: int) -> None:
            progress.reset(bar, description=words[step], total=total)

        watch = importing.Watch(on_step, lambda done: progress.update(bar, completed=done))
        try:
            report, before = importing.run(
                settings,
                file,
                known,
                name,
                now_us=now_us,
                shift=shift,
                shift_newest_to_us=newest_us,
                replace=replace,
                chunk_rows=chunk_rows,
                watch=watch,
            )
        except KeyboardInterrupt:
            progress.console.print(
                say(
                    "stopped; the same command goes on where this one was",
                    "已停止；再次运行同一命令即可继续",
                )
            )
            raise SystemExit(130) from None
    seconds = time.monotonic() - started
    console = Console()
    if before:
        text = say(
            f"the import {name!r} is finished already; nothing was done",
            f"导入 {name!r} 早已完成，未做任何事",
        )
        console.print(text, soft_wrap=True)
    print_report(console, report, importing.refused_path(settings.home, name))
    if not before:
        rate = report.received / seconds if seconds else 0.0
        console.print(
            say(
                f"{seconds:.1f} s, {rate:,.0f} rows/s; history in {settings.history}",
                f"{seconds:.1f} 秒，每秒 {rate:,.0f} 行；历史位于 {settings.history}",
            ),
            soft_wrap=True,
        )


@click.command(
    help=say(
        "Send a recorded log to the live collector, in its own rhythm times the speed-up.\n\n"
        "Each event occurs when it is sent. Message ids follow from the run's name and the row, "
        "so a replay that was stopped can be given again with the same --run: what arrived "
        "before is answered `duplicate`.\n\n"
        "Example:\n\n  nearline replay taobao.parquet --mapping taobao --speed 60",
        "把已有日志按原节奏（乘以倍速）发送到采集器。\n\n"
        "事件的发生时间即发送时间。消息 id 由运行名和行号决定，用相同 --run 重放不会重复计数。\n\n"
        "示例：\n\n  nearline replay taobao.parquet --mapping taobao --speed 60",
    )
)
@click.argument("file", type=_FILE)
@click.option(
    "--mapping",
    required=True,
    help=say("A mapping file, or the name of one that ships.", "映射文件或内置名称。"),
)
@click.option(
    "--speed",
    default=1.0,
    show_default=True,
    type=click.FloatRange(0.001, 1_000_000),
    help=say("How many recorded seconds pass in one.", "倍速。"),
)
@click.option(
    "--limit", default=None, type=click.IntRange(1), help=say("At most N events.", "上限。")
)
@click.option(
    "--from-row",
    default=1,
    show_default=True,
    type=click.IntRange(1),
    help=say("Begin at this row of the file.", "从该行开始。"),
)
@click.option(
    "--run",
    default=None,
    help=say("Name of the run; default: a new one.", "运行名；默认新建。"),
)
@click.option(
    "--url", default=None, help=say("The collector; default: this machine's.", "采集器地址。")
)
def replay(
    file: Path,
    mapping: str,
    speed: float,
    limit: int | None,
    from_row: int,
    run: str | None,
    url: str | None,
) -> None:
    """Replay a log against the collector."""
    import random

    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    from ingestion.connectors import mapping as mapping_module
    from ingestion.connectors.convert import Converter
    from ingestion.connectors.delivery import Delivery
    from ingestion.connectors.replay import Progress as Sent
    from ingestion.connectors.replay import Replay
    from ingestion.connectors.rows import open_rows
    from ingestion.connectors.view import counts_text
    from nearline.client.exchange import Exchange
    from nearline.client.retry import Backoff
    from nearline.client.transport import Transport
    from nearline.clock import SystemClock, utc
    from nearline.embedded.running import settings_of_what_runs
    from nearline.stopping import stop_on_signals
    from nearline.write_keys import first_key

    settings = settings_of_what_runs()
    clock = SystemClock()
    known = mapping_module.load(mapping)
    source = open_rows(file, known, from_row)
    run = run or f"replay-{known.name}-{utc(clock.now_us()):%Y%m%d-%H%M%S}"
    address = url or f"http://{settings.host}:{settings.collector_http_port}"
    rng = random.Random()  # noqa: S311 - jitter, no secret
    transport = Transport(
        Exchange(
            address,
            address,
            first_key(settings.home),
            clock=clock,
            rng=rng,
            backoff=Backoff(),
        )
    )
    with (
        stop_on_signals() as stopped,
        Progress(
            TextColumn(say("replaying", "重放中")),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %  {task.description}"),
            console=Console(stderr=True),
        ) as bars,
    ):
        bar = bars.add_task("", total=limit or source.size)
        delivery = Delivery(transport.post_batch, stopped.wait, rng)

        def on_batch(progress: Sent) -> None:
            done = progress.sent if limit else source.position()
            bars.update(bar, completed=done, description=counts_text(delivery.tally, progress))

        player = Replay(delivery, clock, stopped.wait, run=run, on_batch=on_batch)
        try:
            whole = player.play(
                source.rows, Converter(known, known.name, clock.now_us()), speed=speed, limit=limit
            )
        finally:
            source.close()
            transport.close()
    progress = player.progress
    console = Console()
    console.print(f"{run}: {counts_text(delivery.tally, progress)}", soft_wrap=True)
    for code, count in delivery.tally.codes.most_common():
        console.print(f"  {code}: {count:,}")
    if not whole:
        console.print(
            say(
                f"stopped; go on with --run {run} --from-row {progress.next_row}",
                f"已停止；用 --run {run} --from-row {progress.next_row} 继续",
            ),
            soft_wrap=True,
        )
        raise SystemExit(130)
