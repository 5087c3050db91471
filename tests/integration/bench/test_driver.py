"""The load generator as a process of its own, against servers that answer, refuse and fail."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import msgspec
import pytest
import redis

from nearline.bench import floor as floors
from nearline.bench import processes
from nearline.bench.jobs import (
    AskGrpc,
    AskHttp,
    Closed,
    Follow,
    Job,
    Look,
    Open,
    Outcome,
    Seen,
    Stream,
)
from nearline.bench.questions import latency_of
from nearline.contracts.answer import Receipt, Recommendation, RecommendedItem, Scene, Versions
from nearline.embedded.valkey import EmbeddedValkey, free_port
from nearline.errors import TransientError

ITEM = RecommendedItem("i-1", 1, 0.5, ("popular",), (), "toys", 1_999)


def answer(position: str, item_id: str = "i-1") -> Recommendation:
    return Recommendation(
        response_id="r-1",
        scene=Scene.HOME,
        items=(RecommendedItem(item_id, 1, 0.5, ("popular",), ()),),
        rules=(),
        versions=Versions(bundle="3"),
        receipt=Receipt(position, 1, 0, None, 2.5),
    )


class Door:
    """What a server of these tests does with a question; it remembers what came."""

    def __init__(self) -> None:
        self.came: list[tuple[str, dict[str, object], str]] = []

    def reply(self, path: str, body: dict[str, object]) -> tuple[int, dict[str, str], bytes]:
        raise NotImplementedError


class Refusing(Door):
    """More is asked than it can take."""

    def reply(self, path: str, body: dict[str, object]) -> tuple[int, dict[str, str], bytes]:
        return 429, {"Retry-After": "30"}, b"{}"


class Following(Door):
    """Accepts an event, and has seen it at the second question that names its position."""

    def reply(self, path: str, body: dict[str, object]) -> tuple[int, dict[str, str], bytes]:
        if path == "/v1/batch":
            verdict = {"outcome": "accepted", "position": "0-7-0"}
            return 200, {}, json.dumps({"success": True, "verdicts": [verdict]}).encode()
        if "min_position" not in body:
            return 200, {}, msgspec.json.encode(answer("0-6-0"))
        named = sum("min_position" in one for _, one, _ in self.came)
        held = answer("0-7-0", "i-2") if named % 2 == 0 else answer("0-6-0")
        return 200, {}, msgspec.json.encode(held)


@contextmanager
def serving(door: Door) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            door.came.append((self.path, body, self.headers.get("authorization") or ""))
            status, headers, data = door.reply(self.path, body)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(data))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: tests are quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def drive(*streams: Stream) -> Outcome:
    return processes.drive(Job(list(streams)), lambda: None)


@pytest.mark.redis
def test_echoes_are_asked_over_http_and_grpc_by_clients_and_by_the_clock(
    valkey: redis.Redis, valkey_server: EmbeddedValkey
) -> None:
    with floors.running(valkey_server.url, "run-2", answer("0-1-0")) as floor:
        outcome = drive(
            Stream("http", AskHttp(floor.http_url, ["a", "b"], 10), Closed(4, 1.0)),
            Stream("fastapi", AskHttp(floor.fastapi_url, ["a"], 10), Closed(1, 1.0)),
            Stream("grpc", AskGrpc(floor.grpc_address, ["a"], 10), Closed(4, 1.0)),
            Stream("clock", AskHttp(floor.http_url, ["a"], 10), Open(50.0, 1.0, 7)),
        )

    of = {seen.name: seen for seen in outcome.seen}
    assert list(of) == ["http", "fastapi", "grpc", "clock"]
    assert all(seen.failed == seen.refused == 0 for seen in outcome.seen)
    assert min(len(of[name].answers_ms) for name in ("http", "fastapi", "grpc")) > 5
    assert 20 < len(of["clock"].answers_ms) < 85  # 50 on average, standard deviation 7
    assert 0 < outcome.core_share <= 1.1


def test_refusals_are_counted_apart_and_their_clients_wait_as_told() -> None:
    with serving(Refusing()) as url:
        (seen,) = drive(Stream("r", AskHttp(url, ["a"], 10), Closed(3, 1.0), warm_up=0)).seen

    assert (seen.refused, seen.failed, seen.answers_ms) == (3, 0, [])


def test_nobody_there_is_a_failure_and_not_an_answer() -> None:
    what = AskHttp(f"http://127.0.0.1:{free_port()}", ["a"], 10)
    (seen,) = drive(Stream("n", what, Open(20.0, 0.5, 7), warm_up=0)).seen

    assert seen.failed > 0
    assert seen.answers_ms == []
    with pytest.raises(TransientError, match="nothing answered while 'asked'"):
        latency_of(seen, "key", "asked", "问", 0.1)


def test_an_event_is_followed_until_an_answer_has_seen_it() -> None:
    door = Following()
    with serving(door) as url:
        look = Look(url, "secret", ["a"], [ITEM], seed=7)
        how = Open(4.0, 1.0, 7)
        (seen,) = drive(Stream("f", Follow(look, url, 10), how, warm_up=0)).seen

    assert len(seen.answers_ms) == seen.changed > 0
    assert seen.failed == 0
    (_, event, auth) = next(one for one in door.came if one[0] == "/v1/batch")
    assert event["batch"][0]["properties"]["items"] == [  # type: ignore[index]
        {"item_id": "i-1", "price": 19.99, "item_category": "toys"}
    ]
    assert auth.startswith("Basic ")
    asked = [body for path, body, _ in door.came if "min_position" in body]
    assert {body["min_position"] for body in asked} == {"0-7-0"}
    assert len(asked) == 2 * len(seen.answers_ms)  # The first answer had not seen it.


def test_a_generator_that_fails_says_why() -> None:
    with pytest.raises(TransientError, match=r"nearline\.bench\.driver` failed \(exit 1\)"):
        processes.run("nearline.bench.driver", {"streams": "none"})


def test_a_stream_that_saw_answers_becomes_a_row() -> None:
    row = latency_of(Seen("s", [1.0, 2.0, 3.0], 2, 1, 1.0, 0.5), "key", "en", "zh", 0.25, "floor")

    assert (row.measured.p50, row.refused, row.failed) == (2.0, 2, 1)
    assert (row.asking, row.late_p99_ms, row.floor) == (0.25, 0.5, "floor")
