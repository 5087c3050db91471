"""A deadline is a wall: whatever a server does, or fails to do, the call ends in time."""

from __future__ import annotations

import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from nearline.client import Client, Unavailable

LIMIT_S = 0.6
LATE_S, TRIES = 1.0, 5  # A busy machine may wake us late; each of these servers takes longer.

Serve = Callable[[socket.socket, threading.Event], None]


def says_nothing(caller: socket.socket, over: threading.Event) -> None:
    over.wait()


def drips_its_head(caller: socket.socket, over: threading.Event) -> None:
    caller.sendall(b"HTTP/1.1 200 OK\r\nx-slow: ")
    while not over.wait(0.05):
        caller.sendall(b"a")


def drips_its_body(caller: socket.socket, over: threading.Event) -> None:
    caller.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 10000\r\n\r\n")
    while not over.wait(0.05):
        caller.sendall(b"{")


def stops_in_the_middle(caller: socket.socket, over: threading.Event) -> None:
    """The last byte comes just before the deadline; one more wait would be as long again."""
    caller.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 10000\r\n\r\n")
    for _ in range(5):
        over.wait(LIMIT_S / 6)
        caller.sendall(b"{")
    over.wait()


def floods(caller: socket.socket, over: threading.Event) -> None:
    caller.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 100000000000\r\n\r\n")
    while not over.is_set():
        caller.sendall(b" " * 1_000)


def is_always_overloaded(caller: socket.socket, over: threading.Event) -> None:
    for _ in itertools.takewhile(lambda _: not over.is_set(), itertools.count()):
        caller.recv(65_536)
        caller.sendall(b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n")


@pytest.fixture(
    params=[
        says_nothing,
        drips_its_head,
        drips_its_body,
        stops_in_the_middle,
        floods,
        is_always_overloaded,
    ],
    ids=lambda serve: serve.__name__,
)
def bad_server(request: pytest.FixtureRequest) -> Iterator[str]:
    serve: Serve = request.param
    over, listener = threading.Event(), socket.create_server(("127.0.0.1", 0))
    threads: list[threading.Thread] = []

    def serve_one(caller: socket.socket) -> None:
        with suppress(OSError), caller:
            serve(caller, over)

    def accept() -> None:
        with suppress(OSError):
            while True:
                caller, _ = listener.accept()
                threads.append(threading.Thread(target=serve_one, args=(caller,), daemon=True))
                threads[-1].start()

    accepting = threading.Thread(target=accept, daemon=True)
    accepting.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    over.set()
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    for thread in (accepting, *threads):
        thread.join(5.0)


@pytest.fixture
def deaf_address() -> Iterator[str]:
    """Its queue of connections is full, so that further ones are not even refused."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        filling = [socket.socket() for _ in range(4)]
        for one in filling:
            one.setblocking(False)
            with suppress(BlockingIOError):
                one.connect(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        for one in filling:
            one.close()


def ends_in_time(call: Callable[[], object]) -> bool:
    """Whether it does in one of a few tries.

    A client that waits for too long does so each time; a machine that stands still for seconds
    has gone on by the next.
    """
    for _ in range(TRIES):
        started = time.monotonic()
        with pytest.raises(Unavailable):
            call()
        if time.monotonic() - started < LATE_S:
            return True
    return False


def test_a_question_ends_at_its_deadline(
    bad_server: str, open_client: Callable[..., Client]
) -> None:
    with open_client(bad_server, bad_server, "k") as client:
        assert ends_in_time(lambda: client.recommend("c-1", timeout_s=LIMIT_S))


def test_an_event_ends_at_its_deadline(bad_server: str, open_client: Callable[..., Client]) -> None:
    with open_client(bad_server, bad_server, "k") as client:
        assert ends_in_time(lambda: client.send_now("c-1", "view_item", timeout_s=LIMIT_S))


def test_connecting_is_part_of_the_deadline(
    deaf_address: str, open_client: Callable[..., Client]
) -> None:
    with open_client(deaf_address, deaf_address, "k") as client:
        assert ends_in_time(lambda: client.tags("c-1", timeout_s=LIMIT_S))
