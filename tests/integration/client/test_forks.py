"""A client that was opened before a fork works in the child, as gunicorn's --preload needs it.

The programs fork in processes of their own, which hold none of the tests' threads.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

LIMIT_S = 60.0  # For a program that takes a second.

RECEIPT = {
    "as_of_us": 1,
    "newest_event_at_us": 0,
    "newest_event_age_ms": None,
    "features_age_ms": None,
}


class Shop:
    """Both services. Remembers which customers each connection spoke of, and every event.

    `busy` batches are refused first. An answer has the customer that was asked for as its position.
    """

    def __init__(self) -> None:
        self.busy = 0
        self.asked: defaultdict[tuple[str, int], list[str]] = defaultdict(list)
        self.events: defaultdict[str, set[str]] = defaultdict(set)
        shop = self

        class Door(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                customer = self.path.rpartition("/")[2]
                shop.asked[self.client_address].append(customer)
                receipt = {**RECEIPT, "log_position": customer}
                self._answer(200, {"tags": [], "receipt": receipt})

            def do_POST(self) -> None:
                batch = json.loads(self.rfile.read(int(self.headers["content-length"])))["batch"]
                if shop.busy:
                    shop.busy -= 1
                    return self._answer(503, {})
                for event in batch:
                    shop.events[event["userId"]].add(event["messageId"])
                taken = [{"outcome": "accepted", "messageId": one["messageId"]} for one in batch]
                return self._answer(200, {"verdicts": taken})

            def _answer(self, status: int, answer: object) -> None:
                body = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def shop() -> Iterator[Shop]:
    shop = Shop()
    thread = threading.Thread(target=shop.server.serve_forever, args=(0.05,))
    thread.start()
    yield shop
    shop.server.shutdown()
    thread.join()
    shop.server.server_close()


def run(program: str, shop: Shop) -> str:
    """What the program printed; it may have nothing to complain of, its children neither."""
    started = subprocess.Popen(
        # From Python 3.12 on each fork beside a thread is warned of.
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", program, shop.url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # To find its children where they hang.
    )
    try:
        output, complaints = started.communicate(timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        os.killpg(started.pid, signal.SIGKILL)
        output, complaints = started.communicate()
    assert (started.returncode, complaints) == (0, "")
    return output


FIRST = """
import asyncio, os, random, sys, threading
import nearline.client.client
from nearline.client import AsyncClient, Client, Undelivered
from nearline.client.outbox import SenderLimits
from nearline.errors import PermanentError

nearline.client.client._EXIT_WAIT_S = 60.0  # A test machine may pause for seconds.
URL, NOBODY = sys.argv[1], "http://127.0.0.1:1"
WAITING = SenderLimits(linger_s=3_600.0)  # Nothing leaves before somebody flushes or closes.

def child_ended():
    assert os.waitstatus_to_exitcode(os.wait()[1]) == 0
"""


def test_each_process_sends_its_own_events_and_no_others(shop: Shop) -> None:
    run(
        FIRST
        + """
shop = Client(URL, URL, "key", limits=WAITING)
shop.view("parent", "item-1")
if os.fork() == 0:
    shop.view("child", "item-2")
    assert len(shop.flush(60.0)) == 1
    shop.view("child-at-its-end", "item-3")
    sys.exit()
child_ended()
assert len(shop.flush(60.0)) == 1
assert list(shop.counts.values()) == [1]
""",
        shop,
    )

    assert {customer: len(ids) for customer, ids in shop.events.items()} == {
        "parent": 1,
        "child": 1,
        "child-at-its-end": 1,
    }


def test_each_process_asks_over_connections_of_its_own(shop: Shop) -> None:
    run(
        FIRST
        + """
shop = Client(URL, URL, "key", read_timeout_s=60.0)
shop.tags("parent-1")
for name in ("ann", "bob"):
    if os.fork() == 0:
        for customer in (f"{name}-1", f"{name}-2"):
            assert shop.tags(customer).receipt.log_position == customer
        sys.exit()
child_ended(), child_ended()
assert shop.tags("parent-2").receipt.log_position == "parent-2"
""",
        shop,
    )

    # One connection each, and the parent's outlived its children.
    assert sorted(shop.asked.values()) == [
        ["ann-1", "ann-2"],
        ["bob-1", "bob-2"],
        ["parent-1", "parent-2"],
    ]


def test_a_lock_that_another_thread_held_at_the_fork_holds_up_no_child(shop: Shop) -> None:
    shop.busy = 1
    run(
        FIRST
        + """
class Held(random.Random):  # Drawn from under the sender's lock, to pause after a refusal.
    def random(self):
        drawn.set()
        over.wait()
        return 0.0

drawn, over = threading.Event(), threading.Event()
shop = Client(URL, URL, "key", rng=Held())
shop.view("parent", "item-1")
drawn.wait()
if os.fork() == 0:
    shop.view("child", "item-2")
    assert len(shop.flush(60.0)) == 1
    sys.exit()
child_ended()
over.set()
assert len(shop.flush(60.0)) == 1
""",
        shop,
    )

    assert shop.events.keys() == {"parent", "child"}


def test_a_child_that_sends_nothing_ends_without_a_word_of_its_parents_events(shop: Shop) -> None:
    output = run(
        FIRST
        + """
shop = Client(NOBODY, URL, "key")
for item in ("item-1", "item-2", "item-3"):
    shop.view("parent", item)
if os.fork() == 0:
    assert threading.active_count() == 1
    sys.exit()
child_ended()
try:
    shop.close(0.1)
except Undelivered as left:
    print(len(left.messages))
""",
        shop,
    )

    assert output == "3\n"


def test_what_was_closed_before_the_fork_is_closed_in_the_child(shop: Shop) -> None:
    output = run(
        FIRST
        + """
shop = Client(URL, URL, "key")
shop.close()
if os.fork() == 0:
    for call in (lambda: shop.view("child", "item-1"), lambda: shop.tags("child")):
        try:
            call()
        except (Undelivered, PermanentError) as error:
            print(type(error).__name__, "closed" in str(error))
    sys.exit()
child_ended()
""",
        shop,
    )

    assert output == "Undelivered True\nPermanentError True\n"


def test_an_async_client_works_in_the_event_loop_of_each_process(shop: Shop) -> None:
    run(
        FIRST
        + """
async def story(name):
    assert (await shop.tags(f"{name}-1")).receipt.log_position == f"{name}-1"
    await shop.view(name, "item-1")

async def ending(name):
    assert (await shop.tags(f"{name}-2")).receipt.log_position == f"{name}-2"
    assert len(await shop.flush(60.0)) == 1
    await shop.close()

async def both(name):
    await story(name)
    await ending(name)

shop = AsyncClient(URL, URL, "key", limits=WAITING, read_timeout_s=60.0)
parents_loop = asyncio.new_event_loop()
parents_loop.run_until_complete(story("parent"))
if os.fork() == 0:
    asyncio.run(both("child"))
    sys.exit()  # Without a word of the parent's loop, its task and its events.
child_ended()
parents_loop.run_until_complete(ending("parent"))
parents_loop.close()
""",
        shop,
    )

    assert sorted(shop.asked.values()) == [["child-1", "child-2"], ["parent-1", "parent-2"]]
    assert {customer: len(ids) for customer, ids in shop.events.items()} == {
        "parent": 1,
        "child": 1,
    }
