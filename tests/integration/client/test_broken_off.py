"""An answer that breaks off after its headers is asked for again: a question changes nothing.

So breaks off what a replica was sending when it was killed. The proxy cannot ask another then,
since the caller has half of an answer already.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from nearline.client import Client, Unavailable

WHOLE = (
    b'{"response_id":"r","tags":[],"receipt":{"log_position":"","as_of_us":1,'
    b'"newest_event_at_us":0,"newest_event_age_ms":null,"features_age_ms":null}}'
)
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
COUNTED = HEAD + b"content-length: %d\r\n\r\n" % len(WHOLE)
RESET = struct.pack("ii", 1, 0)  # What SO_LINGER takes so that closing resets the connection.

Ending = Callable[[socket.socket], None]


def headers_alone(caller: socket.socket) -> None:
    caller.sendall(COUNTED)


def half_a_body(caller: socket.socket) -> None:
    caller.sendall(COUNTED + WHOLE[:40])


def half_of_its_chunks(caller: socket.socket) -> None:
    caller.sendall(HEAD + b"transfer-encoding: chunked\r\n\r\n28\r\n" + WHOLE[:40] + b"\r\n")


def a_reset(caller: socket.socket) -> None:
    caller.sendall(COUNTED + WHOLE[:40])
    caller.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)


class Breaking:
    """Answers the first `times` questions with half of an answer, and each further one whole."""

    def __init__(self, ending: Ending, times: int) -> None:
        self.asked, self._ending, self._times = 0, ending, times
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                caller, _ = self._listener.accept()
                with caller:
                    caller.recv(65_536)
                    self.asked += 1
                    if self.asked <= self._times:
                        self._ending(caller)
                    else:
                        caller.sendall(COUNTED + WHOLE)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)


@pytest.fixture
def breaking() -> Iterator[Callable[[Ending, int], Breaking]]:
    opened: list[Breaking] = []

    def start(ending: Ending, times: int) -> Breaking:
        opened.append(Breaking(ending, times))
        return opened[-1]

    yield start
    for one in opened:
        one.close()


@pytest.mark.parametrize(
    "ending",
    [headers_alone, half_a_body, half_of_its_chunks, a_reset],
    ids=lambda ending: ending.__name__,
)
def test_half_an_answer_is_asked_for_again(
    breaking: Callable[[Ending, int], Breaking],
    open_client: Callable[..., Client],
    ending: Ending,
) -> None:
    server = breaking(ending, 1)
    with open_client("http://127.0.0.1:1", server.url, "key") as client:
        assert client.tags("c-1", timeout_s=5.0).receipt.as_of_us == 1

    assert server.asked == 2


def test_a_server_that_always_breaks_off_is_told_within_the_deadline(
    breaking: Callable[[Ending, int], Breaking], open_client: Callable[..., Client]
) -> None:
    server = breaking(half_a_body, 1_000)
    with (
        open_client("http://127.0.0.1:1", server.url, "key") as client,
        pytest.raises(Unavailable, match="RemoteProtocolError"),
    ):
        client.tags("c-1", timeout_s=0.5)

    assert server.asked > 1
