"""What `nearline up` and `nearline demo` share at the edge: signals and addresses."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import click
from rich.table import Table

from nearline.say import say
from nearline.settings import Settings


class Stopped(BaseException):
    """SIGTERM arrived: unwind like Ctrl-C does, so that every part is stopped in order."""


class Waiter:
    """Waits until a person stops the command."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def wait_while(self, check: Callable[[], None], every_s: float = 1.0) -> None:
        """Call `check` now and then until Ctrl-C; what it raises ends the wait."""
        try:
            while not self._event.wait(every_s):
                check()
        except (KeyboardInterrupt, Stopped):
            return


@contextmanager
def run_until_stopped() -> Iterator[Waiter]:
    """Turn SIGTERM into an orderly unwinding, and leave quietly on it and on Ctrl-C."""

    def stop(_signal: int, _frame: FrameType | None) -> None:
        raise Stopped

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield Waiter()
    except (KeyboardInterrupt, Stopped):
        raise SystemExit(130) from None
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def said_when_stopped(text: str) -> Iterator[None]:
    """On Ctrl-C say `text` at once: stopping every part in order takes seconds."""
    try:
        yield
    except (KeyboardInterrupt, Stopped):
        click.echo(text, err=True)
        raise


def addresses(settings: Settings) -> Table:
    """Where everything that runs can be reached."""
    table = Table(title=say("What runs, and where", "正在运行的服务"), title_justify="left")
    table.add_column(say("part", "部件"))
    table.add_column(say("address", "地址"))
    host = settings.host
    api = f"http://{host}:{settings.api_http_port}"
    rows = (
        (say("recommendations, HTTP", "推荐 HTTP"), f"{api}/v1/recommend"),
        (say("  its documentation", "  接口文档"), f"{api}/docs"),
        (say("recommendations, gRPC", "推荐 gRPC"), f"{host}:{settings.api_grpc_port}"),
        (
            say("collector, HTTP (Segment's format)", "采集 HTTP（Segment 格式）"),
            f"http://{host}:{settings.collector_http_port}/v1/batch",
        ),
        (say("collector, gRPC", "采集 gRPC"), f"{host}:{settings.collector_grpc_port}"),
        (say("event log and features (Redis)", "事件日志与特征（Redis）"), settings.redis_shown),
        (say("history (Parquet)", "历史（Parquet）"), str(settings.history)),
        (say("models (MLflow)", "模型（MLflow）"), settings.mlflow_uri),
        (say("logs", "日志"), str(settings.logs)),
    )
    for row in rows:
        table.add_row(*row)
    return table
