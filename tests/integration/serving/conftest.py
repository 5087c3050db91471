"""One real `nearline serve` for the session, on its own Valkey, registry and ports."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import grpc
import httpx
import psutil
import pytest
import redis

from nearline import keys
from nearline.contracts.event import EXPOSURE, Event
from nearline.contracts.position import LogPosition, start_of
from nearline.embedded.valkey import EmbeddedValkey, free_port
from nearline.log import read_after
from tests.integration.stream.parts import accepted, append, stream

HERE = Path(__file__).parent
PARTITIONS = 4


class Service:
    """A running `nearline serve` with everything it leans on."""

    host = "127.0.0.2"  # Of this machine, and not the address where all of Ray is.

    def __init__(
        self, home: Path, valkey: EmbeddedValkey, champion: int | None = None, **variables: str
    ) -> None:
        self.home, self.valkey = home, valkey
        self.http_port, self.grpc_port = free_port(), free_port()
        self.environ = {
            **os.environ,
            "NEARLINE_HOME": str(home),
            "NEARLINE_REDIS_URL": valkey.url,
            "NEARLINE_HOST": self.host,
            "NEARLINE_API_HTTP_PORT": str(self.http_port),
            "NEARLINE_API_GRPC_PORT": str(self.grpc_port),
            # A test machine may pause for 5 s; HAProxy and `own` wait 10 s for a replica.
            "NEARLINE_FEATURES_TIMEOUT_MS": "8000",
            "NEARLINE_DEADLINE_MS": "20000",
            "NEARLINE_LANG": "en",
            **variables,
        }
        self.seeds: dict[str, int] = {}  # of the bundles published, by version
        if champion is not None:  # The seed of one that is there before anything starts.
            self.publish(champion)
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
        self.http = httpx.Client(base_url=f"http://{self.host}:{self.http_port}", timeout=30)
        self.channel = grpc.insecure_channel(f"{self.host}:{self.grpc_port}")
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
        version = done.stdout.split()[-1]
        self.seeds[version] = seed
        return version

    @contextlib.contextmanager
    def promoting(self) -> Iterator[Callable[[str], None]]:
        """A function that makes a registered version champion, and returns when it is."""
        with subprocess.Popen(
            [sys.executable, str(HERE / "publish.py"), str(self.home), "0", "moves"],
            env=self.environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            to, back = process.stdin, process.stdout

            def promote(version: str) -> None:
                to.write(f"{version}\n")
                to.flush()
                assert back.readline() == f"{version}\n"

            try:
                yield promote
            finally:
                to.close()

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

    def called(self, name: str) -> list[psutil.Process]:
        """Those of a program."""
        return [process for process in self.processes() if name_of(process) == name]

    def replicas(self, name: str) -> list[psutil.Process]:
        """Those of a deployment."""
        return [
            process
            for process in self.processes()
            if any(f"ServeReplica:nearline:{name}" in word for word in cmdline(process))
        ]

    def replica(self, name: str) -> psutil.Process:
        """One replica of a deployment."""
        return self.replicas(name)[0]

    @contextlib.contextmanager
    def own(self, replica: psutil.Process, limit_s: float = 60.0) -> Iterator[httpx.Client]:
        """A client of one replica's own port, past HAProxy, as soon as it answers there.

        Raises psutil.NoSuchProcess where the replica has ended.
        """
        deadline = time.monotonic() + limit_s
        while True:
            for _, port in sorted(self.listening([replica])):
                with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
                    if answers_http(client):
                        yield client
                        return
            if not cmdline(replica):
                raise psutil.NoSuchProcess(replica.pid)
            assert time.monotonic() < deadline, f"replica {replica.pid} answers at no port"
            time.sleep(0.05)

    def everywhere(self, holds: Callable[[dict[str, Any]], bool], limit_s: float = 60.0) -> None:
        """Wait until something holds of the health of every replica."""

        def held() -> bool:
            try:
                healths = self.healths()
                return bool(healths) and all(map(holds, healths))
            except (httpx.HTTPError, psutil.Error):  # One ended meanwhile.
                return False

        until(held, limit_s, self.check)

    def healths(self) -> list[dict[str, Any]]:
        """What each replica says of itself; waits for those that start."""
        found = []
        for replica in self.replicas("Gateway"):
            with self.own(replica) as client:
                found.append(client.get("/healthz").json())
        return found

    def listening(self, processes: Iterable[psutil.Process]) -> set[tuple[str, int]]:
        """Where they listen: addresses and ports."""
        found = set()
        for process in processes:
            with contextlib.suppress(psutil.Error):
                found |= {
                    (one.laddr.ip.removeprefix("::ffff:"), one.laddr.port)
                    for one in process.net_connections()
                    if one.status == psutil.CONN_LISTEN
                }
        return found

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(60)

    def close(self) -> None:
        """End it, with whatever it left behind."""
        self.http.close()
        self.channel.close()
        self.redis.close()
        self.stop()
        for process in self.processes():
            process.kill()


def answers_http(client: httpx.Client) -> bool:
    try:
        return client.get("/healthz").status_code == 200
    except httpx.HTTPError:
        return False


def cmdline(process: psutil.Process) -> list[str]:
    try:
        return list(process.cmdline())
    except psutil.Error:  # It ended meanwhile.
        return []


def name_of(process: psutil.Process) -> str:
    try:
        return str(process.name())
    except psutil.Error:  # It ended meanwhile.
        return ""


@contextlib.contextmanager
def silent(valkey: EmbeddedValkey) -> Iterator[None]:
    """It takes connections meanwhile and answers none: its process stands still."""
    assert valkey._process is not None
    process = psutil.Process(valkey._process.pid)
    process.suspend()
    try:
        until(lambda: process.status() == psutil.STATUS_STOPPED)
        yield
    finally:
        process.resume()


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
            running.close()


@pytest.fixture(scope="session")
def champion(service: Service) -> None:
    """Some bundle serves: where no test has published one yet, this does."""
    if not service.health()["bundle"]:
        version = service.publish(1)
        service.everywhere(lambda health: bool(health["bundle"] == version))


@pytest.fixture(scope="session")
def shoppers(service: Service, tiny: Any) -> dict[str, set[str]]:
    """Forty customers with random histories; the items that each has bought."""
    return shop(service, tiny)


def shop(service: Service, tiny: Any) -> dict[str, set[str]]:
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
    happen(service, events)
    return {
        name: {
            line.item_id
            for event in events
            if event.customer_id == name and event.name == "purchase"
            for line in event.lines
        }
        for name in (f"shopper-{number}" for number in range(40))
    }


def happen(service: Service, events: Sequence[Event]) -> list[LogPosition]:
    """Through log and stream worker, until every replica's items know; where the events lie."""
    verdicts = append(service.redis, events, PARTITIONS)
    stream(service.redis, PARTITIONS)
    if service.health()["bundle"]:
        applied = [service.redis.get(keys.applied(partition)) for partition in range(PARTITIONS)]
        tokens = [f"{at}-{held.decode()}" for at, held in enumerate(applied)]
        for replica in service.replicas("Gateway"):
            with service.own(replica) as client:
                until(lambda client=client: positions(client) == tokens)  # type: ignore[misc]
    return accepted(verdicts)


def positions(client: httpx.Client) -> list[str]:
    """Which events the items of an answer know of."""
    question = {"customer_id": "nobody", "as_of_us": 1}
    answer = client.post("/v1/recommend", json=question).json()
    # One that was paused may refuse what waited meanwhile: there is no receipt then.
    return list(answer.get("receipt", {}).get("item_positions", ()))
