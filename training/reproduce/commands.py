"""`nearline reproduce`: run a published comparison again and write its page."""

from __future__ import annotations

from pathlib import Path

import click

from nearline.say import say


@click.command(
    help=say(
        "Run a published comparison again on public data: ours beside the published figures and "
        "the simple models, printed and written to docs/benchmarks/reproduce-DATASET.md.\n\n"
        "Without DATASET it lists what there is. Ends with 1 when a figure misses its gate. "
        "Stopped by Ctrl-C, it goes on where it was when you run it again.\n\n"
        "The data are not part of Nearline (their licences forbid it): give their folder with "
        "--data or NEARLINE_DATA.\n\n"
        "Example:\n\n  nearline reproduce groceries --data ../shared/data",
        "在公开数据上重跑一项公开的对比：我们的结果、公开数字与简单模型并列，打印并写入 "
        "docs/benchmarks/reproduce-DATASET.md。\n\n"
        "不给 DATASET 时列出全部。有指标未达门槛时退出码为 1。按 Ctrl-C 中断后再次运行可继续。\n\n"
        "数据不随 Nearline 分发（许可不允许）：用 --data 或 NEARLINE_DATA 指定目录。\n\n"
        "示例：\n\n  nearline reproduce groceries --data ../shared/data",
    )
)
@click.argument("dataset", required=False)
@click.option(
    "--data",
    envvar="NEARLINE_DATA",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("../shared/data"),
    show_default=True,
    help=say("Folder of the public data sets.", "公开数据集所在目录。"),
)
@click.option(
    "--pages",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("docs/benchmarks"),
    show_default=True,
    help=say("Folder that the page is written to.", "页面输出目录。"),
)
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    default=None,
    help=say("Default: as many as there are cores, at most 8.", "默认：核数，最多 8。"),
)
def reproduce(dataset: str | None, data: Path, pages: Path, threads: int | None) -> None:
    import os

    from rich.console import Console

    from nearline import settings as settings_module
    from nearline.bench.machine import this_machine
    from nearline.clock import SystemClock, utc
    from nearline.errors import PermanentError
    from training.reproduce.catalogue import catalogue

    known = catalogue()
    if dataset is None:
        for name, one in known.items():
            click.echo(f"{name:<24}{one.what}")
        click.echo(say("\nRun one: nearline reproduce NAME", "\n运行：nearline reproduce 名称"))
        return
    if dataset not in known:
        raise PermanentError(
            f"there is no comparison {dataset[:40]!r}; there are {', '.join(known)}"
        )
    for folder in known[dataset].folders:
        if not (data / folder).is_dir():
            raise PermanentError(
                f"{dataset} needs the folder {folder}/ below {data}, which has none. Its licence "
                "keeps it out of this repository: give the folder of the public data with --data "
                "or NEARLINE_DATA"
            )
    # As in `nearline train`: threads that spin while they wait slow a busy machine.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    settings, clock = settings_module.load(), SystemClock()
    out, log = Console(), Console(stderr=True)
    machine, since_us = this_machine(), clock.now_us()
    log.print(say("loading what it needs ...", "正在加载所需的库 ……"))
    try:
        from training.bundle import code_version
        from training.progress import Bars
        from training.reproduce import page
        from training.reproduce.comparison import Place

        place = Place(
            data=data,
            checkpoints=settings.home / "checkpoints" / "reproduce" / dataset,
            threads=threads or min(os.cpu_count() or 1, 8),
        )
        place.checkpoints.mkdir(parents=True, exist_ok=True)
        run = known[dataset].load()
        code = code_version()  # Of the start: what is committed meanwhile did not run.
        with Bars(log) as bars:
            comparisons = run(place, bars)
    except KeyboardInterrupt:
        log.print(
            say(
                "\nStopped. What has been learnt is kept: run the same command to go on.",
                "\n已停止。已学到的进度已保存：重新运行同一命令即可继续。",
            )
        )
        raise SystemExit(130) from None
    made = page.Made(
        name=dataset,
        command=f"make reproduce DATASET={dataset}",
        machine=machine,
        at=utc(since_us),
        seconds=(clock.now_us() - since_us) / 1e6,
        code_version=code,
    )
    pages.mkdir(parents=True, exist_ok=True)
    file = pages / f"reproduce-{dataset}.md"
    file.write_text(page.to_markdown(comparisons, made), encoding="utf-8")
    page.show(comparisons, out)
    for learnt in place.checkpoints.rglob("*.pt"):  # Else the next run would learn nothing.
        learnt.unlink()
    out.print(say(f"Page: {file}", f"页面：{file}"), soft_wrap=True)
    missed = page.failures(comparisons)
    if missed:
        raise SystemExit(1)
