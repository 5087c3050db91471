"""`nearline bench growth`: one size after another, then a page and a picture."""

from __future__ import annotations

from pathlib import Path

import click

from nearline.say import say


@click.command(
    help=say(
        "Measure what more items and more customers cost: time of an answer by stage, loading, "
        "memory of a replica and of Valkey, recall of the index. Made-up shops, real parts, no "
        "Ray. 1m takes about half an hour and 10 GB of memory; Ctrl-C stops it, and what was "
        "measured before is written.\n\n"
        "Examples:\n\n  nearline bench growth --sizes 10k,100k\n\n"
        "  nearline bench growth --markdown docs/benchmarks/growth.md",
        "测量商品和顾客增多的代价：各阶段作答时间、加载时间、副本与 Valkey 的内存、索引召回率。"
        "商店是虚构的，部件是真实的，不启动 Ray。1m 约需半小时和 10 GB 内存；Ctrl-C 可停止，"
        "已测得的会写出。\n\n示例：\n\n  nearline bench growth --sizes 10k,100k",
    )
)
@click.option(
    "--sizes",
    default="10k,100k,1m",
    show_default=True,
    help=say("How many items, and as many customers.", "商品数，顾客数相同。"),
)
@click.option(
    "--calls",
    default=2_000,
    show_default=True,
    type=click.IntRange(10, 1_000_000),
    help=say("Answers timed at each size.", "每个规模计时的作答次数。"),
)
@click.option("--seed", default=7, show_default=True)
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    help=say(
        "Where to work; by default `growth` in the home folder. Each size is removed after it.",
        "工作目录；默认为主目录下 growth。每个规模测完即删除。",
    ),
)
@click.option(
    "--json",
    "json_file",
    type=click.Path(dir_okay=False, path_type=Path),
    help=say("Write all figures as JSON.", "写出 JSON。"),
)
@click.option(
    "--markdown",
    type=click.Path(dir_okay=False, path_type=Path),
    help=say("Write a page, with a picture beside it.", "写出 Markdown 页面和图。"),
)
def growth(
    sizes: str,
    calls: int,
    seed: int,
    folder: Path | None,
    json_file: Path | None,
    markdown: Path | None,
) -> None:
    """Measure each size, tell it at once, write what there is."""
    import sys
    from datetime import UTC, datetime

    from rich.console import Console

    from nearline import __version__
    from nearline import settings as settings_module
    from nearline.bench.bars import bars
    from nearline.bench.growth import page
    from nearline.bench.growth.run import measure, parsed
    from nearline.bench.growth.shapes import Size
    from nearline.bench.machine import load_1min, this_machine

    try:
        wanted = parsed(sizes)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--sizes") from None
    console, machine = Console(stderr=True), this_machine()
    began = datetime.now(UTC).isoformat(timespec="seconds")
    folder = folder or settings_module.load().home / "growth"
    command = " ".join(["nearline", "bench", *sys.argv[2:]])
    done: list[Size] = []
    for size in sorted(wanted):
        with bars(console) as progress:
            done.append(measure(folder, size, size, calls, seed, progress))
        click.echo(page.summary(done[-1]))
        found = page.Growth(began, command, __version__, seed, machine, load_1min(), tuple(done))
        if json_file is not None:
            json_file.write_bytes(page.to_json(found))
        if markdown is not None:
            picture = markdown.with_suffix(".png")
            page.draw(found, picture)
            markdown.write_text(page.to_markdown(found, picture.name), encoding="utf-8")
