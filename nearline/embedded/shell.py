"""What `nearline up` and `nearline demo` share at the edge: signals, addresses, the wait."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import click
from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text

from nearline.embedded.policy import PolicyFiles
from nearline.embedded.stack import Stack
from nearline.say import say
from nearline.settings import Settings


class Stopped(BaseException):
    """SIGTERM arrived: unwind like Ctrl-C does, so that every part is stopped in order."""


class Waiter:
    """Waits until a person stops the command."""

    def wait_while(self, check: Callable[[], None], every_s: float = 1.0) -> None:
        """Call `check` at once and now and then until Ctrl-C; what it raises ends the wait."""
        try:
            while True:
                check()
                time.sleep(every_s)
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


def attend(console: Console, stack: Stack, stopped: Waiter) -> None:
    """Show what runs, then wait; a part that stops ends it, mistakes in policy files are told."""
    # Wrapped by the terminal alone, so that what does not fit can still be copied whole.
    console.print(addresses(stack.settings), soft_wrap=True)
    policy = PolicyFiles(
        stack.settings.policy_folder,
        stack.environ,
        lambda text: click.secho(text, fg="yellow", err=True),
    )

    def look() -> None:
        stack.check_running()
        policy.look()

    stopped.wait_while(look)


def addresses(settings: Settings) -> Text:
    """Where everything that runs can be reached: a line each."""
    host = settings.host_shown
    api = f"http://{host}:{settings.api_http_port}"
    rows = [
        (say("recommendations, HTTP", "推荐 HTTP"), f"{api}/v1/recommend"),
        (say("  its documentation", "  接口文档"), f"{api}/docs"),
        (say("recommendations, gRPC", "推荐 gRPC"), f"{host}:{settings.api_grpc_port}"),
        (
            say("events, HTTP (Segment)", "采集 HTTP（Segment）"),
            f"http://{host}:{settings.collector_http_port}/v1/batch",
        ),
        (say("events, gRPC", "采集 gRPC"), f"{host}:{settings.collector_grpc_port}"),
        (say("  their write key", "  写入密钥"), "nearline collector --show-key"),
        (say("log, features (Redis)", "日志与特征（Redis）"), settings.redis_shown),
        (say("history (Parquet)", "历史（Parquet）"), str(settings.history)),
        (say("models (MLflow)", "模型（MLflow）"), settings.mlflow_uri),
        (say("scenes, rules (YAML)", "场景与规则（YAML）"), str(settings.policy_folder)),
        (say("log files", "日志文件"), str(settings.logs)),
    ]
    if host != settings.host:
        everywhere = say("every address of this machine", "本机所有地址")
        rows.append((say("listening on", "监听"), f"{everywhere} (NEARLINE_HOST={settings.host})"))
    width = max(cell_len(part) for part, _ in rows)
    shown = Text(
        say("What runs, and where; Ctrl-C stops all of it", "正在运行的服务；Ctrl-C 停止全部")
    )
    for part, address in rows:
        shown.append(f"\n{set_cell_size(part, width)}  ", style="dim").append(address)
    return shown
