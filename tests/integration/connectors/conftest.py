"""A real collector in a process of its own, for what sends to it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis

from nearline.embedded.valkey import EmbeddedValkey, free_port


@dataclass(frozen=True)
class Collector:
    """A collector that has said it is ready, and the settings of commands that talk to it."""

    environ: dict[str, str]
    started: list[subprocess.Popen[str]]

    def nearline(self, *arguments: str) -> subprocess.Popen[str]:
        """A `nearline` command in the collector's world; stdout can be read."""
        process = subprocess.Popen(
            [sys.executable, "-m", "nearline", *arguments],
            env=self.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.started.append(process)
        return process


@pytest.fixture
def collector(
    valkey: redis.Redis, valkey_server: EmbeddedValkey, tmp_path: Path
) -> Iterator[Collector]:
    http_port, grpc_port, api_port = free_port(), free_port(), free_port()
    environ = os.environ | {
        "NEARLINE_HOME": str(tmp_path / "home"),
        "NEARLINE_REDIS_URL": valkey_server.url,
        "NEARLINE_COLLECTOR_HTTP_PORT": str(http_port),
        "NEARLINE_COLLECTOR_GRPC_PORT": str(grpc_port),
        "NEARLINE_API_HTTP_PORT": str(api_port),
        "NEARLINE_LANG": "en",
    }
    made = Collector(environ, [])
    process = made.nearline("collector")
    assert process.stdout is not None
    try:
        line = process.stdout.readline()
        assert "ready" in line, line
        yield made
    finally:
        process.terminate()
        process.wait(20)
        for left in made.started:  # What a failed test did not wait for.
            left.kill()
            left.communicate()
