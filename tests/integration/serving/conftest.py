"""One real `nearline serve` for the session, on its own Valkey, registry and ports."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import grpc
import httpx
import psutil
import pytest
import redis

from nearline.embedded.valkey import EmbeddedValkey, free_port

HERE = Path(__file__).parent
PARTITIONS = 4


class Service:
    """A running `nearline serve` with everything it leans on."""

    def __init__(self, home: Path, valkey: EmbeddedValkey) -> None:
        self.home, self.valkey = home, valkey
        self.http_port, self.grpc_port = free_port(), free_port()
        self.environ = {
            **os.environ,
            "NEARLINE_HOME": str(home),
            "NEARLINE_REDIS_URL": valkey.url,
            "NEARLINE_API_HTTP_PORT": str(self.http_port),
            "NEARLINE_API_GRPC_PORT": str(self.grpc_port),
            # A crowded test machine may pause for longer than a production one.
            "NEARLINE_FEATURES_TIMEOUT_MS": "2000",
            "NEARLINE_LANG": "en",
        }
        self.output = home / "serve.out"
        started = time.monotonic()
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "nearline", "serve"],
                env=self.environ,
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
            )
        until(lambda: b"Ctrl-C stops it" in self.output.read_bytes(), 300, self.check)
        self.start_s = time.monotonic() - started
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{self.http_port}", timeout=30)
        self.channel = grpc.insecure_channel(f"127.0.0.1:{self.grpc_port}")
        self.redis = redis.Redis.from_url(valkey.url)

    def check(self) -> None:
        assert self.process.poll() is None, self.output.read_text()

    def recommend(self, customer_id: str, **more: Any) -> dict[str, Any]:
        response = self.http.post("/v1/recommend", json={"customer_id": customer_id, **more})
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    def health(self) -> dict[str, Any]:
        found: dict[str, Any] = self.http.get("/healthz").json()
        return found

    def publish(self, seed: int, *how: str) -> str:
        """Make a tiny bundle champion; returns its version."""
        done = subprocess.run(
            [sys.executable, str(HERE / "publish.py"), str(self.home), str(seed), *how],
            env=self.environ,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.split()[-1]

    def processes(self) -> list[psutil.Process]:
        """Everything that was started for this service."""
        marker = str(self.home)
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("NEARLINE_HOME") == marker:
                    found.append(process)
            except (psutil.Error, OSError):
                continue
        return found

    def replica(self, name: str) -> psutil.Process:
        """The one replica of a deployment."""
        (found,) = [
            process
            for process in self.processes()
            if any(f"ServeReplica:nearline:{name}" in word for word in process.cmdline())
        ]
        return found

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(60)


def until(
    holds: Callable[[], bool], limit_s: float = 60.0, check: Callable[[], None] = lambda: None
) -> None:
    """Poll until something holds; fail at the deadline."""
    deadline = time.monotonic() + limit_s
    while not holds():
        check()
        assert time.monotonic() < deadline, f"did not happen within {limit_s:.0f} s"
        time.sleep(0.05)


@pytest.fixture(scope="session")
def tiny() -> ModuleType:
    path = HERE.parents[1] / "unit" / "serving" / "tiny.py"
    spec = importlib.util.spec_from_file_location("nearline_tests_tiny_bundle", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def wait_until() -> Callable[..., None]:
    return until


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    home = tmp_path_factory.mktemp("serving")
    with EmbeddedValkey(home / "valkey", free_port()) as valkey:
        running = Service(home, valkey)
        try:
            yield running
        finally:
            running.http.close()
            running.channel.close()
            running.redis.close()
            running.stop()
            for process in running.processes():
                process.kill()
