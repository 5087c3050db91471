"""The floor: the same moves over the same wire with nothing computed, measured in the same run.

A figure of the real system stands beside one of these, so that a slow machine or a noisy
neighbour shows in both and the ratio stays honest.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec
import redis

from nearline import keys
from nearline.bench.load import Timed, timed
from nearline.bench.row import event
from nearline.client import Client
from nearline.contracts.answer import Recommendation
from nearline.contracts.event import encode_event
from nearline.contracts.position import LogPosition
from nearline.embedded.valkey import dying_with_us, free_port
from nearline.errors import TransientError
from nearline.online import customer_fields, parse_customer

_START_LIMIT_S = 30.0
_VISIBLE_LIMIT_S = 10.0
_EXPIRE_S = 3_600


@dataclass(frozen=True, slots=True)
class Floor:
    """The running parts: echoes over HTTP (bare ASGI, FastAPI) and gRPC, a reader of a stream."""

    redis: redis.Redis
    stream: str
    row: str
    client: Client
    http_url: str
    grpc_address: str
    fastapi_url: str

    def log_to_features(self, number: int) -> None:
        """XADD, another process reads it and stores a row, HMGET until decoded: one event."""
        self._await(self._append(number))

    def through(self, number: int) -> None:
        """What an event's way costs at least: echo, log, other process, features, echo."""
        self.client.send_now("floor", "view_item", item_id="i")
        self._await(self._append(number))
        self.client.recommend("floor")

    def accept(self, number: int) -> None:
        """Taking one event at least: echo and one durable XADD."""
        self.client.send_now("floor", "view_item", item_id="i")
        self._append(number)

    def append_batch(self, number: int, events: int) -> None:
        """One pipeline of XADDs, on disk when it returns."""
        with self.redis.pipeline(transaction=False) as pipeline:
            for place in range(events):
                pipeline.xadd(f"{self.stream}:batch", {"e": encode_event(event(number + place))})
            pipeline.expire(f"{self.stream}:batch", _EXPIRE_S)
            pipeline.execute()

    def _append(self, number: int) -> LogPosition:
        stream_id = self.redis.xadd(self.stream, {"e": encode_event(event(number))})
        assert isinstance(stream_id, bytes)
        return LogPosition.of(0, stream_id)

    def _await(self, wanted: LogPosition) -> None:
        fields = customer_fields(0)
        deadline = time.monotonic() + _VISIBLE_LIMIT_S
        while time.monotonic() < deadline:
            reply = self.redis.hmget(self.row, fields)
            seen = parse_customer(0, reply).position  # type: ignore[arg-type]
            if seen is not None and seen >= wanted:
                return
        raise TransientError(
            f"the floor's own reader did not follow within {_VISIBLE_LIMIT_S:.0f} s: is the "
            "machine overloaded? Run the bench again when it is quiet."
        )


@contextmanager
def running(redis_url: str, run: str, answer: Recommendation) -> Iterator[Floor]:
    """Start the floor's parts and warm them up; stop them and remove their keys afterwards."""
    http_port, grpc_port, fastapi_port = free_port(), free_port(), free_port()
    stream, row = keys.bench(run, "log"), keys.bench(run, "row")
    store = redis.Redis.from_url(redis_url)
    with tempfile.TemporaryDirectory() as folder:
        canned = Path(folder) / "answer.json"
        canned.write_bytes(msgspec.json.encode(answer))
        echo = _start("nearline.bench.echo", str(http_port), str(grpc_port), str(canned))
        fastapi = _start("nearline.bench.fastapi_echo", str(fastapi_port), str(canned))
        reader = _start("nearline.bench.reader", redis_url, stream, row)
        url, fastapi_url = f"http://127.0.0.1:{http_port}", f"http://127.0.0.1:{fastapi_port}"
        client = Client(url, url, "floor")
        try:
            floor = Floor(store, stream, row, client, url, f"127.0.0.1:{grpc_port}", fastapi_url)
            client.recommend("floor", timeout_s=_START_LIMIT_S)
            with Client(url, fastapi_url, "floor") as other:
                other.recommend("floor", timeout_s=_START_LIMIT_S)
            timed(20, 1, floor.through)
            store.expire(stream, _EXPIRE_S)
            store.expire(row, _EXPIRE_S)
            yield floor
        finally:
            client.close()
            for process in (echo, fastapi, reader):
                process.terminate()
                process.wait()
            store.delete(stream, row, f"{stream}:batch")
            store.close()


def batches(floor: Floor, count: int, events: int) -> Timed:
    """`count` batches in a row, one connection."""
    return timed(count, 1, lambda number: floor.append_batch(number * events, events))


def _start(module: str, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(  # noqa: S603 - our own module, no shell
        dying_with_us([sys.executable, "-m", module, *arguments]),
        stdin=subprocess.DEVNULL,
    )
