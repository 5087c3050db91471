"""HTTP to both services: one attempt at a time, told as a value, never beyond its deadline."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import Any

import httpcore
import httpx

from nearline.client.exchange import Answered, Attempt, Exchange, Reply, Silence
from nearline.client.steps import arun, run
from nearline.errors import PermanentError

_LOOPBACK = {"127.0.0.1", "localhost", "::1"}
_WRITE_BYTES = 16 * 1024
_ends_at: ContextVar[float] = ContextVar("_ends_at")


class Transport:
    """One connection pool, opened at its first use. Safe to share between threads."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._opening = threading.RLock()  # A signal handler may ask meanwhile.
        self._http: httpx.Client | None = None
        self._closed = False

    def open(self) -> httpx.Client:
        with self._opening:
            if self._closed:
                raise _closed()
            if self._http is None:
                http = httpx.Client(trust_env=_trusts(self._exchange), limits=_LIMITS)
                # httpx bounds each single wait, so that an answer in drops could outlast any
                # limit. Its pool takes a network of one's own only here (the tests see it when
                # that changes).
                for pool in _pools(http):
                    pool._network_backend = _Network(pool._network_backend)
                self._http = http
            return self._http

    def close(self) -> None:
        """Hang up. Takes no lock and says no goodbye, so also in a signal handler and after a fork.

        httpx would take its pool's lock here. The frame that a signal interrupted may hold it, or
        a thread that exists only in the parent: either way nobody would ever give it back.
        """
        self._closed = True
        if self._http is not None:
            for pool in _pools(self._http):
                for connection in pool.connections:
                    connection.close()

    def attempt(self, step: Attempt) -> Answered | Silence:
        """Send one request; the whole of it ends at the deadline, only name lookup may not."""
        http = self.open()
        try:
            with _ending_in(step.left_s):
                response = http.request(
                    step.method,
                    step.url,
                    content=step.content,
                    headers=dict(step.headers),
                    timeout=step.left_s,
                )
        except httpx.HTTPError as error:
            return Silence(type(error).__name__)
        finally:
            if self._closed:  # Meanwhile, perhaps before there was a connection to close.
                self.close()
        return _answered(response)

    def post_batch(self, encoded: Sequence[bytes], timeout_s: float) -> Reply:
        """One attempt to deliver events; never raises for what the network or server did."""
        return run(self._exchange.post(encoded, timeout_s), self.attempt)


class AsyncTransport:
    """The same for one event loop."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange
        self._http: httpx.AsyncClient | None = None
        self._closed = False

    def open(self) -> httpx.AsyncClient:
        if self._closed:
            raise _closed()
        if self._http is None:
            self._http = httpx.AsyncClient(trust_env=_trusts(self._exchange), limits=_LIMITS)
        return self._http

    async def close(self) -> None:
        self._closed = True
        if self._http is not None:
            await self._http.aclose()

    async def attempt(self, step: Attempt) -> Answered | Silence:
        """Send one request; the whole of it ends at the deadline."""
        http = self.open()
        try:
            with _ending_in(step.left_s):
                async with asyncio.timeout(step.left_s):
                    response = await http.request(
                        step.method,
                        step.url,
                        content=step.content,
                        headers=dict(step.headers),
                        timeout=step.left_s,
                    )
        except TimeoutError:
            return Silence("Timeout")
        except httpx.HTTPError as error:
            return Silence(type(error).__name__)
        return _answered(response)

    async def post_batch(self, encoded: Sequence[bytes], timeout_s: float) -> Reply:
        """One attempt to deliver events; never raises for what the network or server did."""
        return await arun(self._exchange.post(encoded, timeout_s), self.attempt)


_LIMITS = httpx.Limits(max_connections=64, keepalive_expiry=30.0)


def _pools(http: httpx.Client) -> Iterator[httpcore.ConnectionPool]:
    for transport in (http._transport, *http._mounts.values()):
        if isinstance(transport, httpx.HTTPTransport):
            yield transport._pool


def _closed() -> PermanentError:
    return PermanentError("this client was closed and asks nothing more. Open a new one.")


def _trusts(exchange: Exchange) -> bool:
    """Whether proxies of the environment count: never between an app and its own machine."""
    urls = (exchange.collector_url, exchange.api_url)
    return not all(httpx.URL(url).host in _LOOPBACK for url in urls)


def _answered(response: httpx.Response) -> Answered:
    headers = {name.lower(): value for name, value in response.headers.items()}
    return Answered(response.status_code, headers, response.content)


@contextmanager
def _ending_in(left_s: float) -> Iterator[None]:
    """Around one attempt: tells its network the deadline, and httpx's log that it is ours."""
    token = _ends_at.set(time.monotonic() + left_s)
    try:
        yield
    finally:
        with suppress(ValueError):  # Collected in another context, after the end of its event loop.
            _ends_at.reset(token)


def _is_the_apps(record: logging.LogRecord) -> bool:
    return _ends_at.get(None) is None


# httpx tells each request with its address, at INFO, and customers' ids stand in ours. A log line
# from the sender's thread would also wait for one that a signal handler interrupted.
logging.getLogger("httpx").addFilter(_is_the_apps)


def _left_s() -> float:
    left_s = _ends_at.get() - time.monotonic()
    if left_s <= 0:
        raise httpcore.ReadTimeout("the deadline of the attempt has passed")
    return left_s


class _Network(httpcore.NetworkBackend):
    """Connections whose every wait ends at the deadline of the attempt that they serve."""

    def __init__(self, inner: httpcore.NetworkBackend) -> None:
        self._inner = inner

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        # Address by address: the system's own loop would give each the whole time anew.
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise httpcore.ConnectError(str(error)) from error
        failed: Exception = httpcore.ConnectError("the name has no address")
        for *_, address in found:
            try:
                return _Stream(
                    self._inner.connect_tcp(
                        str(address[0]), port, _left_s(), local_address, socket_options
                    )
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failed = error
        raise failed

    def sleep(self, seconds: float) -> None:
        time.sleep(min(seconds, _left_s()))


class _Stream(httpcore.NetworkStream):
    def __init__(self, inner: httpcore.NetworkStream) -> None:
        self._inner = inner

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, _left_s())

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        for start in range(0, len(buffer), _WRITE_BYTES):
            self._inner.write(buffer[start : start + _WRITE_BYTES], _left_s())

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, _left_s()))

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)
