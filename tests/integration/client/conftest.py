"""A real collector on free ports, over the session's Valkey."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from nearline import write_keys
from nearline.client import AsyncClient, Client
from nearline.embedded.valkey import EmbeddedValkey, free_port
from tests.awaited import Awaited

_START_LIMIT_S = 60.0


def blocking(*args: Any, **kwargs: Any) -> Any:
    return Client(*args, **kwargs)


def awaiting(*args: Any, **kwargs: Any) -> Any:
    return Awaited(lambda: AsyncClient(*args, **kwargs))


@pytest.fixture(params=[blocking, awaiting], ids=lambda opened: opened.__name__)
def open_client(request: pytest.FixtureRequest) -> Callable[..., Client]:
    """Opens a client of each kind in turn: what holds for one must hold for the other."""
    opened: Callable[..., Client] = request.param
    return opened


@dataclass(frozen=True, slots=True)
class RunningCollector:
    url: str
    grpc_port: int
    write_key: str
    home: Path
    environ: dict[str, str]


@pytest.fixture(scope="module")
def running_collector(
    valkey_server: EmbeddedValkey, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningCollector]:
    home = tmp_path_factory.mktemp("collector")
    http_port, grpc_port = free_port(), free_port()
    environ = {
        **os.environ,
        "NEARLINE_HOME": str(home),
        "NEARLINE_REDIS_URL": valkey_server.url,
        "NEARLINE_COLLECTOR_HTTP_PORT": str(http_port),
        "NEARLINE_COLLECTOR_GRPC_PORT": str(grpc_port),
        "NEARLINE_METRICS_PORT": str(free_port()),
    }
    key = write_keys.add(home, write_keys.WriteKey(name="test"))
    process = subprocess.Popen([sys.executable, "-m", "nearline", "collector"], env=environ)
    url = f"http://127.0.0.1:{http_port}"
    try:
        _await_health(url, process)
        yield RunningCollector(url, grpc_port, key, home, environ)
    finally:
        process.terminate()
        process.wait(20)


@pytest.fixture
def collector(running_collector: RunningCollector, valkey: redis.Redis) -> RunningCollector:
    """The same collector over a log that is empty again."""
    return running_collector


def _await_health(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + _START_LIMIT_S
    while time.monotonic() < deadline:
        assert process.poll() is None, "the collector ended while starting"
        try:
            if httpx.get(f"{url}/healthz", timeout=1.0).status_code == 200:
                return
        except httpx.HTTPError:
            time.sleep(0.05)
    raise AssertionError(f"no collector at {url} within {_START_LIMIT_S} s")
