"""A collector for tests: as an application in this process, or as a process of its own."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from ingestion.collector.app import Parts, open_parts
from nearline import write_keys
from nearline.embedded.valkey import EmbeddedValkey, free_port
from nearline.settings import Settings

Story = Callable[[httpx.AsyncClient, Parts], Awaitable[Any]]


@dataclass(frozen=True)
class Served:
    """A collector process and how to reach it."""

    process: subprocess.Popen[bytes]
    http: str
    grpc: str
    key: str
    home: Path


@pytest.fixture
def settings(valkey: redis.Redis, valkey_server: EmbeddedValkey, tmp_path: Path) -> Settings:
    return Settings(home=tmp_path, redis_url=valkey_server.url)


@pytest.fixture
def tell(settings: Settings) -> Callable[[Story], Any]:
    """Run a story against the application over a real log, without a socket."""

    async def go(story: Story) -> Any:
        async with open_parts(settings) as parts:
            transport = httpx.ASGITransport(app=parts.http())
            key = write_keys.key_named(settings.home)
            async with httpx.AsyncClient(
                transport=transport, base_url="http://collector", auth=(key, "")
            ) as client:
                return await story(client, parts)

    return lambda story: asyncio.run(go(story))


def start_collector(redis_url: str, home: Path) -> Served:
    """Start `nearline collector` and return once it has printed that it is ready."""
    http_port, grpc_port = free_port(), free_port()
    environment = {
        **os.environ,
        "NEARLINE_HOME": str(home),
        "NEARLINE_REDIS_URL": redis_url,
        "NEARLINE_COLLECTOR_HTTP_PORT": str(http_port),
        "NEARLINE_COLLECTOR_GRPC_PORT": str(grpc_port),
        "NEARLINE_LANG": "en",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "nearline", "collector"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert b"ready" in line, line
    return Served(
        process,
        f"http://127.0.0.1:{http_port}",
        f"127.0.0.1:{grpc_port}",
        write_keys.key_named(home),
        home,
    )


def stop_collector(served: Served) -> int:
    """Ask it to stop, as Ctrl-C does; return its exit code."""
    served.process.terminate()
    try:
        return served.process.wait(15)
    finally:
        served.process.kill()
        served.process.wait()
        assert served.process.stdout is not None
        served.process.stdout.close()


@pytest.fixture
def start() -> Iterator[Callable[[str, Path], Served]]:
    """Start collectors that end with the test."""
    started: list[Served] = []

    def go(redis_url: str, home: Path) -> Served:
        started.append(start_collector(redis_url, home))
        return started[-1]

    yield go
    for served in started:
        stop_collector(served)


@pytest.fixture(scope="module")
def served(
    valkey_server: EmbeddedValkey, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """One collector process for a module, over the session's log."""
    started = start_collector(valkey_server.url, tmp_path_factory.mktemp("collector"))
    yield started
    assert stop_collector(started) == 0


@pytest.fixture
def own_valkey(tmp_path: Path) -> Iterator[EmbeddedValkey]:
    """A server that the test may stop."""
    server = EmbeddedValkey(tmp_path / "valkey", free_port()).start()
    yield server
    server.stop()
