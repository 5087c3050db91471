"""The command `nearline serve`."""

from __future__ import annotations

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
    import threading

    from rich.console import Console

    from nearline import settings
    from serving import workers
    from serving.server import running

    workers.stay_lean()
    chosen = settings.load()
    stop = threading.Event()

    def break_off(_signal: int, _frame: object) -> None:
        if not stop.is_set():
            stop.set()
            raise KeyboardInterrupt  # `running` still stops what it has started.

    def end(_signal: int, _frame: object) -> None:
        stop.set()

    def on_stop(handler: Any) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
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
