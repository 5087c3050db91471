"""The commands `nearline serve` and `nearline replay-answer`."""

from __future__ import annotations

import re
from typing import Any

import click

from nearline.say import say


@click.command(
    help=say(
        "Answer recommendations, churn scores and tags over HTTP and gRPC, until Ctrl-C.\n\n"
        "Serves the bundle that carries the alias `champion`, and swaps to a new champion while "
        "answering. Without a bundle, or without Redis, fallbacks answer and say so in "
        "`degraded`. API document: /docs. Logs: logs/serve in the home folder.\n\n"
        "Example:\n\n\b\n"
        "  nearline serve &\n"
        "  curl 'localhost:7310/v1/recommend?customer_id=c-1001&k=5'\n"
        "  curl localhost:7310/v1/churn/c-1001\n"
        "  curl localhost:7310/healthz",
        "通过 HTTP 和 gRPC 提供推荐、流失评分和标签，直到 Ctrl-C。\n\n"
        "使用别名为 champion 的模型包；有新的 champion 时不停机切换。没有模型包或 Redis 时由后备"
        "策略回答，并在 degraded 中说明。接口文档：/docs。日志：主目录下 logs/serve。\n\n"
        "示例：\n\n\b\n"
        "  nearline serve &\n"
        "  curl 'localhost:7310/v1/recommend?customer_id=c-1001&k=5'\n"
        "  curl localhost:7310/v1/churn/c-1001\n"
        "  curl localhost:7310/healthz",
    )
)
def serve() -> None:
    import contextlib
    import signal

    from rich.console import Console

    from nearline import settings
    from nearline.stopping import SIGNALS, StopFlag
    from serving import workers
    from serving.policy.folder import KEPT
    from serving.policy.telling import in_force
    from serving.server import running

    workers.stay_lean()
    chosen = settings.load()
    in_force(chosen.policy_folder, chosen.bundles / KEPT)  # Refused here, not in each replica.
    stop = StopFlag()

    def break_off(_signal: int, _frame: object) -> None:
        if not stop.is_set():
            stop.set()
            raise KeyboardInterrupt  # `running` still stops what it has started.

    def end(_signal: int, _frame: object) -> None:
        stop.set()

    def on_stop(handler: Any) -> None:
        for number in SIGNALS:
            signal.signal(number, handler)

    on_stop(break_off)
    with contextlib.ExitStack() as parts:
        try:
            with Console(stderr=True).status(
                say("Starting Ray Serve (20 to 40 s)", "正在启动 Ray Serve（20 到 40 秒）")
            ):
                parts.enter_context(running(chosen))
        except KeyboardInterrupt:
            click.echo(say("Stopped while starting.", "启动过程中已停止。"), err=True)
            return
        on_stop(end)  # Ray has set its own meanwhile.
        http = f"http://{chosen.host}:{chosen.api_http_port}"
        grpc = f"{chosen.host}:{chosen.api_grpc_port}"
        click.echo(
            say(
                f"Serving: {http} (API: {http}/docs) and gRPC {grpc}. Ctrl-C stops it.",
                f"推荐服务已就绪：{http}（接口 {http}/docs），gRPC {grpc}。按 Ctrl-C 停止。",
            )
        )
        stop.wait()


def _is_response_id(_context: click.Context, _parameter: click.Parameter, given: str) -> str:
    if not re.fullmatch(r"[0-9a-fA-F]{32}", given):
        raise click.BadParameter(
            say(
                f"{given[:64]!r} is no response id: expected the 32 hexadecimal digits that an "
                "answer carries as `response_id`",
                f"{given[:64]!r} 不是答案编号：应为答案中 `response_id` 的 32 位十六进制数字",
            )
        )
    return given.lower()


@click.command(
    name="replay-answer",
    help=say(
        "Make an answer again from what was known when it was given, and compare the two byte for "
        "byte: the log positions in its receipt, its bundle, its scene and rule files, its id.\n\n"
        "Reads history, the log and the registry; changes nothing. Ends with 1 when the bytes "
        "differ. Answers as of a stated instant (as_of_us) are not kept.\n\n"
        "Example:\n\n  nearline replay-answer 01a1fb3e35f4c7a2c93d0b6f4e1a8d25",
        "根据作答当时已知的信息重新生成一个答案，并逐字节比较：使用回执中的日志位置、模型包、场景与规则文件"
        "以及答案编号。\n\n只读取历史、日志和模型库，不做任何修改。字节不同则退出码为 1。指定时间点"
        "（as_of_us）的答案没有展示给任何人，因此不保留。\n\n"
        "示例：\n\n  nearline replay-answer 01a1fb3e35f4c7a2c93d0b6f4e1a8d25",
    ),
)
@click.argument("response_id", callback=_is_response_id)
@click.option(
    "--json",
    "as_json",
    is_flag=True,
    help=say("Print the answer made again as JSON.", "以 JSON 输出重新生成的答案。"),
)
def replay_answer(response_id: str, as_json: bool) -> None:
    import sys

    from rich.console import Console
    from rich.progress import Progress

    from nearline.embedded.running import settings_of_what_runs

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(say("reading what was known", "读取当时已知的信息"), total=None)
        # Importing what computes takes seconds: not before a bar moves.
        from serving.made import bytes_of
        from serving.replaying import replay

        done = replay(
            settings_of_what_runs(),
            response_id,
            lambda events, of: bar.update(task, advance=events, total=of),
        )
    if as_json:
        sys.stdout.write(bytes_of(done.answer).decode() + "\n")
    if done.equal:
        text = say(
            f"The same, byte for byte: {len(bytes_of(done.answer))} bytes, {done.events} events.",
            f"逐字节相同：{len(bytes_of(done.answer))} 字节，{done.events} 个事件。",
        )
        click.secho(text, fg="green", err=True)
        return
    click.secho(done.difference, fg="red", err=True)
    raise SystemExit(1)
