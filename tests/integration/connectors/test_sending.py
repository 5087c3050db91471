"""`nearline replay` and `nearline shop live` against a real collector."""

from __future__ import annotations

import json
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import redis

from nearline.contracts.event import Event, Kind
from nearline.contracts.position import start_of
from nearline.embedded.valkey import free_port
from nearline.log import read_after

from .conftest import Collector

pytestmark = [pytest.mark.redis, pytest.mark.slow]
MAP_TEXT = """\
name: log
columns: {customer_id: user, item_id: sku, event: action, time: at}
events: {view: view_item}
time: {format: epoch_s}
consent: [analytics, personalization]
"""


@pytest.fixture
def log_file(tmp_path: Path) -> Path:
    """3,000 events over 600 seconds."""
    lines = [
        json.dumps({"user": n % 50, "sku": n % 70, "action": "view", "at": 1_511_658_000 + n / 5})
        for n in range(3_000)
    ]
    (tmp_path / "map.yaml").write_text(MAP_TEXT)
    path = tmp_path / "log.jsonl"
    path.write_text("\n".join(lines))
    return path


def stored(valkey: redis.Redis) -> list[Event]:
    starts = {partition: start_of(partition) for partition in range(4)}
    entries = read_after(valkey, starts, count=100_000, block_ms=None)
    return [entry.event for held in entries.values() for entry in held]


def finish(process: Any) -> str:
    text, _ = process.communicate(timeout=90)
    return str(text)


def until(what: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not what():
        assert time.monotonic() < deadline, "waited for 60 s"
        time.sleep(0.01)


def test_a_replay_brings_every_event_once_even_when_given_again(
    collector: Collector, valkey: redis.Redis, log_file: Path
) -> None:
    options = ("--mapping", str(log_file.parent / "map.yaml"), "--speed", "300", "--run", "r1")

    first = finish(collector.nearline("replay", str(log_file), *options))
    again = finish(collector.nearline("replay", str(log_file), *options))

    assert "3,000 sent, 3,000 accepted" in first
    assert "3,000 sent, 3,000 duplicate" in again
    events = stored(valkey)
    assert sorted(event.event_id for event in events) == sorted(
        f"r1-{row}" for row in range(1, 3_001)
    )
    # Six hundred seconds in two, each event when it was sent.
    span_s = (max(e.occurred_at_us for e in events) - min(e.occurred_at_us for e in events)) / 1e6
    assert span_s > 1.8
    assert all(0 <= event.known_at_us - event.occurred_at_us < 60_000_000 for event in events)


def test_a_replay_that_was_stopped_says_how_to_go_on_and_nothing_counts_twice(
    collector: Collector, valkey: redis.Redis, log_file: Path
) -> None:
    options = ("--mapping", str(log_file.parent / "map.yaml"), "--run", "r2")
    process = collector.nearline("replay", str(log_file), *options, "--speed", "60")
    until(lambda: len(stored(valkey)) > 300)

    process.send_signal(signal.SIGINT)
    said = finish(process)

    assert process.returncode == 130
    assert "go on with --run r2 --from-row" in said
    row = said.split("--from-row ")[1].split()[0]
    finish(
        collector.nearline("replay", str(log_file), *options, "--speed", "9999", "--from-row", row)
    )
    assert sorted(event.event_id for event in stored(valkey)) == sorted(
        f"r2-{row}" for row in range(1, 3_001)
    )


@contextmanager
def api(port: int, item_ids: list[str]) -> Iterator[list[dict[str, Any]]]:
    """A stand-in for the recommendation API; yields the questions that it was asked."""
    asked: list[dict[str, Any]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers["content-length"])
            asked.append(json.loads(self.rfile.read(length)))
            items = [
                {"item_id": i, "rank": n, "score": 1.0, "sources": [], "reasons": []}
                for n, i in enumerate(item_ids, 1)
            ]
            receipt = {
                "log_position": "",
                "as_of_us": 0,
                "newest_event_at_us": 0,
                "newest_event_age_ms": None,
                "features_age_ms": None,
            }
            answer = {
                "response_id": f"r{len(asked)}",
                "scene": "home",
                "items": items,
                "rules": [],
                "versions": {},
                "receipt": receipt,
            }
            body = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_live_customers_shop_ask_for_lists_and_click_what_they_were_shown(
    collector: Collector, valkey: redis.Redis
) -> None:
    finish(collector.nearline("shop", "generate", "--customers", "150", "--items", "120",
                              "--days", "5"))  # fmt: skip
    shown = ["books-0003", "toys-0001", "shoes-0004", "phones-0002", "coffee-0001", "bags-0005"]
    with api(int(collector.environ["NEARLINE_API_HTTP_PORT"]), shown) as asked:
        process = collector.nearline(
            "shop", "live", "--rate", "60", "--seconds", "6", "--seed", "1"
        )
        said = finish(process)

    assert process.returncode == 0
    assert "360 sent, 360 accepted" in said
    events = stored(valkey)
    assert len(events) == 360
    clicked = [event for event in events if event.response_id]
    assert asked
    assert clicked
    assert all(
        event.lines[0].item_id in shown and event.kind is Kind.VIEW and event.response_id
        for event in clicked
    )
    assert all(event.lines[0].price_cents and event.lines[0].category for event in events)


def test_live_customers_outlast_servers_that_are_away_and_end_on_ctrl_c(
    collector: Collector, valkey: redis.Redis
) -> None:
    finish(collector.nearline("shop", "generate", "--customers", "150", "--items", "120",
                              "--days", "5"))  # fmt: skip
    nowhere = f"http://127.0.0.1:{free_port()}"
    process = collector.nearline(
        "shop", "live", "--rate", "40", "--seconds", "4", "--collector", nowhere
    )

    assert "could not be sent" in finish(process)
    assert process.returncode == 1

    process = collector.nearline("shop", "live", "--rate", "40")  # the API is away all the time
    until(lambda: len(stored(valkey)) > 20)
    process.send_signal(signal.SIGINT)
    said = finish(process)
    assert process.returncode == 0
    assert " accepted" in said
    assert f"{len(stored(valkey)):,} accepted" in said
