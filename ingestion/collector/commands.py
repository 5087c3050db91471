"""The commands `nearline collector` and `nearline dead-letters`."""

from __future__ import annotations

import click

from nearline.say import say


@click.command(
    help=say(
        "Take events over HTTP (Segment's wire format) and gRPC, until Ctrl-C.\n\n"
        "Each event gets a verdict: accepted, duplicate, rejected or consent_refused. What is "
        "accepted lies on disk. The first start makes two write keys in write_keys.json: 'app' for "
        "pages and apps, where everybody can read it, and 'server' for the shop's own programs, "
        "which alone may list items (item_listed: stock, bans, ages).\n\n"
        "Example:\n\n\b\n"
        "  nearline collector &\n"
        '  curl -u $(nearline collector --show-key): localhost:7300/v1/track -d \'{"userId":"u1",\n'
        '    "event":"view_item","properties":{"item_id":"i1"},\n'
        '    "context":{"consent":{"categoryPreferences":{"analytics":true,\n'
        "    \"personalization\":true}}}}' -H 'Content-Type: application/json'",
        "通过 HTTP（Segment 格式）和 gRPC 接收事件，直到 Ctrl-C。\n\n"
        "每个事件都有一个裁定：accepted（已接收）、duplicate（重复）、rejected（拒绝）或 "
        "consent_refused（未获同意）。已接收即已落盘。首次启动会在 write_keys.json 里生成两个"
        "写入密钥：'app' 用于网页与应用（任何人都能读到）；'server' 用于商城自己的程序，"
        "只有它可以发布商品信息（item_listed：库存、禁售、年龄）。\n\n"
        "示例：\n\n\b\n"
        "  nearline collector --show-key        # 打印密钥\n"
        "  curl -u 密钥: localhost:7300/v1/batch -d '{\"batch\":[]}' \\\n"
        "    -H 'Content-Type: application/json'",
    )
)
@click.option(
    "--show-key",
    is_flag=False,
    flag_value="app",
    default=None,
    metavar="[NAME]",
    help=say(
        "Print the write key of that name ('app' if none is given) and exit; 'server' is made "
        "if there is none.",
        "打印该名称（默认 'app'）的写入密钥后退出；没有 'server' 时会生成。",
    ),
)
def collector(show_key: str | None) -> None:
    from nearline import settings, write_keys
    from nearline.embedded.running import of_what_runs

    chosen = settings.load()
    if show_key is not None:
        home = of_what_runs(chosen).home
        write_keys.ensure(home)
        click.echo(write_keys.key_named(home, show_key))
        return

    import uvloop

    from ingestion.collector.app import run
    from nearline import logs

    logs.start("collector")

    def ready() -> None:
        http = f"http://{chosen.host_shown}:{chosen.collector_http_port}"
        grpc = f"{chosen.host_shown}:{chosen.collector_grpc_port}"
        click.echo(
            say(
                f"Collector ready: {http} and gRPC {grpc}. "
                "Write key: nearline collector --show-key. Ctrl-C stops it.",
                f"采集器已就绪：{http}，gRPC {grpc}。"
                "写入密钥：nearline collector --show-key。按 Ctrl-C 停止。",
            )
        )

    uvloop.run(run(chosen, ready))


@click.group(
    name="dead-letters",
    help=say(
        "Look at rejected events, and submit them again once the cause is mended.\n\n"
        "Example:\n\n\b\n"
        "  nearline dead-letters show                  # how many, by code\n"
        "  nearline dead-letters export bad.jsonl      # mend `event` in each line, then\n"
        "  nearline dead-letters replay --file bad.jsonl",
        "查看被拒绝的事件，修复原因后重新提交。\n\n"
        "示例：\n\n\b\n"
        "  nearline dead-letters show                  # 按代码统计\n"
        "  nearline dead-letters export bad.jsonl      # 修改每行的 event，然后\n"
        "  nearline dead-letters replay --file bad.jsonl",
    ),
)
def dead_letters() -> None:
    """Hold the commands; see the help text above."""


_CODE = click.option(
    "--code", metavar="CODE", help=say("Only letters with this code.", "只处理该代码的死信。")
)


@dead_letters.command(
    name="list",
    help=say(
        "List rejected events: id, code, source, size; never their content.",
        "列出被拒绝的事件：编号、代码、来源、大小；不显示内容。",
    ),
)
@_CODE
@click.option(
    "--limit", default=20, show_default=True, help=say("At most so many.", "最多显示条数。")
)
def list_letters(code: str | None, limit: int) -> None:
    from ingestion.collector.dead_letter_commands import list_table

    list_table(code, limit)


@dead_letters.command(
    name="show",
    help=say(
        "Count rejected events by code, with what to mend for each.",
        "按代码统计被拒绝的事件，并给出修复建议。",
    ),
)
def show() -> None:
    from ingestion.collector.dead_letter_commands import show_table

    show_table()


@dead_letters.command(
    name="export",
    help=say(
        "Write rejected events to FILE as JSON lines, readable by you alone (mode 0600).\n\n"
        "They hold customers' data: delete the file when you are done.",
        "把被拒绝的事件按 JSONL 写入 FILE（仅本人可读，0600）。\n\n其中含有顾客数据：用完请删除。",
    ),
)
@click.argument("file", type=click.Path(dir_okay=False))
@_CODE
def export(file: str, code: str | None) -> None:
    from ingestion.collector.dead_letter_commands import export_file

    export_file(file, code)


@dead_letters.command(
    name="discard",
    help=say(
        "Delete rejected events for good; asks first. They are not counted differently.",
        "永久删除被拒绝的事件；会先询问。计数不变。",
    ),
)
@_CODE
@click.confirmation_option(prompt=say("Delete them for good?", "确定永久删除？"))
def discard(code: str | None) -> None:
    from ingestion.collector.dead_letter_commands import discard_letters

    discard_letters(code)


@dead_letters.command(
    name="replay",
    help=say(
        "Submit rejected events again, by the checks and write keys as they are now.\n\n"
        "What is accepted leaves the dead letters; what is rejected again stays. With --file, "
        "only the letters in that file, each with its mended `event`.",
        "按当前的检查与写入密钥重新提交被拒绝的事件。\n\n"
        "被接收的会移出死信；再次被拒绝的保留。"
        "使用 --file 时只提交文件中的死信及其修改后的 event。",
    ),
)
@_CODE
@click.option(
    "--file",
    type=click.Path(exists=True, dir_okay=False),
    help=say("A mended export.", "修改过的导出文件。"),
)
def replay(code: str | None, file: str | None) -> None:
    from ingestion.collector.dead_letter_commands import replay_letters

    replay_letters(code, file)
