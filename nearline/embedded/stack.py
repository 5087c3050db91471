"""The whole embedded system on one machine: Valkey, collector, worker, history, serving."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import psutil
import redis

from nearline.embedded.processes import Child, environ_with, sweep, wait_until
from nearline.embedded.running import marked, marker_of, written
from nearline.embedded.valkey import EmbeddedValkey, free_port, port_is_free
from nearline.errors import PermanentError
from nearline.settings import LOOPBACK, Settings, to_environ

# Settings that are ports, with the part that needs each.
PORTS = {
    "redis_port": "Valkey",
    "collector_http_port": "collector (HTTP)",
    "collector_grpc_port": "collector (gRPC)",
    "api_http_port": "recommendations (HTTP)",
    "api_grpc_port": "recommendations (gRPC)",
    "metrics_port": "metrics of the stream worker",
}
START_LIMIT_S = {"collector": 60.0, "worker": 30.0, "history": 30.0, "serve": 180.0}
STOP_LIMIT_S = {"serve": 40.0}  # Ray drains; everything else is done in a few seconds.


class Stack:
    """Starts and stops the parts; use as a context manager.

    `store()` brings up Valkey alone (for batch stages), `live()` the rest. Leaving the
    context stops everything in reverse order and sweeps what is left.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._id = secrets.token_hex(8)
        self._exits = ExitStack()
        self._children: list[Child] = []
        self._server: EmbeddedValkey | None = None

    def __enter__(self) -> Stack:
        self.settings.home.mkdir(parents=True, exist_ok=True)
        clean_up_after_a_killed_run(self.settings.home)
        ports = {name: int(getattr(self.settings, name)) for name in PORTS}
        self._marker_file.write_text(written(self._id, ports))
        return self

    def __exit__(self, *_: object) -> None:
        try:
            self._exits.close()
        finally:
            sweep(self._id)
            self._marker_file.unlink(missing_ok=True)

    @property
    def environ(self) -> dict[str, str]:
        """The environment of every child: ours, with these settings spelled out."""
        return environ_with(self._id, to_environ(self.settings))

    def store(self) -> None:
        """Start the embedded Valkey, or check the server that `redis_url` names."""
        if self.settings.redis_url:
            try:
                redis.Redis.from_url(self.settings.redis_url, socket_timeout=2.0).ping()
            except redis.RedisError as error:
                raise PermanentError(
                    f"NEARLINE_REDIS_URL names a server that does not answer ({error}). Start "
                    "it, mend the address, or leave the variable out to use the embedded one."
                ) from error
            return
        self._server = EmbeddedValkey(
            self.settings.home / "valkey",
            self.settings.redis_port,
            self.environ,
        )
        self._exits.enter_context(self._server)

    def live(self, *names: str) -> None:
        """Start the named parts (of collector, worker, history, serve) and wait until ready."""
        started = [self.start(name) for name in names]
        checks = {name: self._check(name) for name in names}
        wait_until(checks, started, max(START_LIMIT_S[name] for name in names))

    def start(self, name: str) -> Child:
        """Start one part without waiting for it."""
        child = Child(
            name,
            [sys.executable, "-m", "nearline", name],
            self.environ,
            self.settings.logs / f"{name}.log",
        )
        self._children.append(child)
        self._exits.callback(child.stop, STOP_LIMIT_S.get(name, 15.0))
        return child

    def check_running(self) -> None:
        """Raise when a part has stopped by itself, with the end of its log."""
        if self._server is not None:
            self._server.check_running()
        for child in self._children:
            child.check_running()

    def _check(self, name: str) -> Callable[[], bool]:
        settings = self.settings
        url = {
            "collector": f"http://{settings.host}:{settings.collector_http_port}/healthz",
            "serve": f"http://{settings.host}:{settings.api_http_port}/healthz",
            "worker": f"http://{settings.host}:{settings.metrics_port}/metrics",
            "history": f"http://{settings.host}:{settings.metrics_port + 1}/metrics",
        }[name]

        def answers() -> bool:
            try:
                return httpx.get(url, timeout=2.0).status_code == 200
            except httpx.HTTPError:
                return False

        return answers

    @property
    def _marker_file(self) -> Path:
        return marker_of(self.settings.home)


def clean_up_after_a_killed_run(home: Path) -> None:
    """Stop what a killed run left behind; raises PermanentError while another uses the folder.

    To be called before anything in the folder is removed: it names the processes to stop.
    """
    held = marked(home)
    if not held:
        return
    if _is_running_nearline(int(held["pid"])):
        raise PermanentError(
            f"another nearline (process {held['pid']}) is using {home}. "
            "Stop it, or give this one its own folder: NEARLINE_HOME=.nearline/other"
        )
    sweep(str(held["stack"]))


@dataclass(frozen=True, slots=True)
class NeededPort:
    """A port that must be free at the start, and the setting that moves it."""

    host: str
    number: int
    part: str
    variable: str


def needed_ports(settings: Settings) -> Iterator[NeededPort]:
    """Every port that the parts listen on."""
    for name, part in PORTS.items():
        if name != "redis_port" or not settings.redis_url:
            number = getattr(settings, name)
            yield NeededPort(_host_of(name, settings), number, part, f"NEARLINE_{name.upper()}")
    history = settings.metrics_port + 1
    yield NeededPort(
        settings.host, history, "metrics of the history writer", "NEARLINE_METRICS_PORT"
    )


def _host_of(port: str, settings: Settings) -> str:
    return LOOPBACK if port == "redis_port" else settings.host


def host_fault(settings: Settings) -> str | None:
    """Why nothing on this machine can listen on the host, as the system says it; or None."""
    try:
        free_port(settings.host)
    except OSError as error:
        return error.strerror or type(error).__name__
    return None


def _check_host(settings: Settings) -> None:
    if fault := host_fault(settings):
        raise PermanentError(
            f"NEARLINE_HOST={settings.host!r} cannot be listened on ({fault}): expected an IPv4 "
            f"address or a name of this machine, such as {LOOPBACK} (for programs here alone) or "
            "0.0.0.0 (all of its addresses)"
        )


def check_ports(settings: Settings) -> None:
    """Raise PermanentError that names every port that is taken and the variable to change.

    Or the host, where it is none of this machine.
    """
    _check_host(settings)
    taken = [
        f"{port.host}:{port.number} ({port.part}: {port.variable})"
        for port in needed_ports(settings)
        if not port_is_free(port.host, port.number)
    ]
    if taken:
        raise PermanentError(
            f"these ports are taken: {', '.join(taken)}. Stop what uses them, "
            "set the variables to free ports, or add --any-port to have them chosen."
        )


def with_free_ports(settings: Settings) -> Settings:
    """The same settings on ports that are free now; raises PermanentError for a host elsewhere."""
    _check_host(settings)
    while True:
        ports = {name: free_port(_host_of(name, settings)) for name in PORTS}
        chosen = replace(settings, **ports)  # type: ignore[arg-type]
        history = chosen.metrics_port + 1
        distinct = len({*ports.values(), history}) == len(PORTS) + 1
        if distinct and port_is_free(settings.host, history):
            return chosen


def _is_running_nearline(pid: int) -> bool:
    try:
        return any("nearline" in part for part in psutil.Process(pid).cmdline())
    except psutil.Error:
        return False
