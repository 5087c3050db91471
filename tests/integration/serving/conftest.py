"""One real `nearline serve` for the session, on its own Valkey, registry and ports."""

from __future__ import annotations

import importlib.util
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import grpc
import httpx
import psutil
import pytest
import redis

from nearline.contracts.event import EXPOSURE, Event
from nearline.contracts.position import LogPosition, partition_of, start_of
from nearline.embedded.valkey import EmbeddedValkey, free_port
from nearline.feast_layout import CUSTOMER_VIEW, ITEM_VIEW
from nearline.log import read_after
from nearline.online import COMMIT_SCRIPT, commit_args, customer_columns, item_columns
from nearline.transforms import customer, item

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
        """Make a tiny bundle champion, or what publish.py can else; returns its version."""
        done = subprocess.run(
            [sys.executable, str(HERE / "publish.py"), str(self.home), str(seed), *how],
            env=self.environ,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.split()[-1]

    def exposures(self) -> dict[str, Event]:
        """What was shown, by the id of its answer, as the log holds it."""
        positions = {partition: start_of(partition) for partition in range(PARTITIONS)}
        pages = read_after(self.redis, positions, count=100_000, block_ms=None)
        return {
            entry.event.response_id or "": entry.event
            for page in pages.values()
            for entry in page
            if entry.event.name == EXPOSURE
        }

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


@pytest.fixture(scope="session")
def champion(service: Service) -> None:
    """Some bundle serves: where no test has published one yet, this does."""
    if not service.health()["bundle"]:
        version = service.publish(1)
        until(lambda: bool(service.health()["bundle"] == version))


@pytest.fixture(scope="session")
def shoppers(service: Service, tiny: Any) -> dict[str, set[str]]:
    """Forty customers with random histories; the items that each has bought."""
    generator = random.Random(11)
    names = ("view_item", "view_item", "view_item", "add_to_cart", "purchase", "add_to_wishlist")
    events = [
        tiny.event(
            number,
            f"shopper-{number % 40}",
            generator.choice(names),
            [generator.randrange(tiny.ITEMS)],
            generator.uniform(1, 20 * 86_400),
        )
        for number in range(1_200)
    ]
    commit(service.redis, events)
    return {
        name: {
            line.item_id
            for event in events
            if event.customer_id == name and event.name == "purchase"
            for line in event.lines
        }
        for name in (f"shopper-{number}" for number in range(40))
    }


def commit(client: redis.Redis, events: Iterable[Event]) -> None:
    """Do what the stream worker does, through its own script, for new entities."""
    by_customer: dict[str, list[Event]] = {}
    by_item: dict[str, list[Event]] = {}
    for event in events:
        by_customer.setdefault(event.customer_id, []).append(event)
        for line in event.lines:
            by_item.setdefault(line.item_id, []).append(event)
    script = client.register_script(COMMIT_SCRIPT)
    for customer_id, theirs in by_customer.items():
        upto = LogPosition(partition_of(customer_id, PARTITIONS), 1, len(theirs))
        row = customer_columns(customer.fold(theirs))
        known_at_us = max(event.known_at_us for event in theirs)
        args = commit_args(CUSTOMER_VIEW, row, known_at_us, upto, 0)
        assert script([CUSTOMER_VIEW.key(customer_id)], args) == b"applied"
    for item_id, its in by_item.items():
        row = item_columns(item.fold(item_id, its))
        args = commit_args(ITEM_VIEW, row, its[0].known_at_us, LogPosition(0, 1, 1), 0)
        client.eval(COMMIT_SCRIPT, 1, ITEM_VIEW.key(item_id), *args)
