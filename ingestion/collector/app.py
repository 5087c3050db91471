"""Composition root: both doors over one log, in one process."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass

import redis
import redis.asyncio
import uvicorn
from fastapi import FastAPI
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from ingestion.collector.grpc_door import build_grpc
from ingestion.collector.http_door import build_http
from ingestion.collector.intake import Intake
from ingestion.collector.metrics import Metrics
from nearline import write_keys
from nearline.clock import Clock, SystemClock
from nearline.errors import PermanentError, StoreUnavailable
from nearline.log import EventLog, claim_partitions
from nearline.settings import Settings
from nearline.write_keys import WriteKeys

_STOP_LIMIT_S = 5.0
_REDIS_LIMIT_S = 5.0
_CONNECTIONS = 32


@dataclass(frozen=True, slots=True)
class Parts:
    """What both doors are built from."""

    intake: Intake
    keys: WriteKeys
    client: redis.asyncio.Redis
    metrics: Metrics

    def http(self) -> FastAPI:
        return build_http(self.intake, self.keys, self.client, self.metrics)


@contextlib.asynccontextmanager
async def open_parts(settings: Settings, clock: Clock | None = None) -> AsyncIterator[Parts]:
    """Build the parts from the settings and close them at the end."""
    write_keys.ensure(settings.home)
    pool = redis.asyncio.BlockingConnectionPool.from_url(
        settings.redis_address,
        max_connections=_CONNECTIONS,
        timeout=_REDIS_LIMIT_S,
        socket_timeout=_REDIS_LIMIT_S,
        socket_connect_timeout=1.0,
        # An append whose reply was lost must not be sent again unseen: the sender decides.
        retry=Retry(NoBackoff(), 0),
    )
    async with redis.asyncio.Redis(connection_pool=pool) as client:
        clock = clock or SystemClock()
        log = EventLog(client, settings.partitions, clock)
        intake = Intake(log, clock, address=settings.redis_shown)
        try:
            yield Parts(intake, WriteKeys(settings.home), client, Metrics())
        finally:
            await pool.disconnect()


async def run(settings: Settings, ready: Callable[[], None]) -> None:
    """Serve until SIGINT or SIGTERM; calls `ready` once both doors are open.

    Raises PermanentError for a taken port or another number of partitions, StoreUnavailable
    when the log cannot be reached at the start. Requests under way are finished on stopping.
    """
    _claim(settings)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    with _listening(settings) as listener:
        async with open_parts(settings) as parts:
            server = _QuietServer(
                uvicorn.Config(
                    parts.http(),
                    log_level="warning",
                    access_log=False,  # It would hold customers' addresses.
                    server_header=False,
                    timeout_graceful_shutdown=int(_STOP_LIMIT_S),
                )
            )
            address = f"{settings.host}:{settings.collector_grpc_port}"
            grpc = await build_grpc(parts.intake, parts.keys, parts.metrics, address)
            await grpc.start()
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            stopping = asyncio.create_task(stop.wait())
            try:
                while not server.started and not serving.done():
                    await asyncio.sleep(0.01)
                gc.collect()
                gc.freeze()  # What was built now stays; full collections need not look at it.
                ready()
                await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                server.should_exit = True
                stopping.cancel()
                await asyncio.gather(grpc.stop(_STOP_LIMIT_S), serving)


class _QuietServer(uvicorn.Server):
    """uvicorn, leaving signals to us: two servers must stop together."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextlib.contextmanager
def _listening(settings: Settings) -> Iterator[socket.socket]:
    host, port = settings.host, settings.collector_http_port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # The protocol is named because asyncio sets TCP_NODELAY only then; without it each answer
    # waits 40 ms for the other side's delayed acknowledgement.
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            raise PermanentError(
                f"the collector cannot listen on {host}:{port} ({error.strerror}): stop what uses "
                "that port, or set NEARLINE_COLLECTOR_HTTP_PORT to another"
            ) from error
        yield listener


def _claim(settings: Settings) -> None:
    try:
        with redis.Redis.from_url(settings.redis_address, socket_timeout=_REDIS_LIMIT_S) as client:
            claim_partitions(client, settings.partitions)
    except redis.RedisError as error:
        cause = type(error).__name__
        raise StoreUnavailable("the event log", settings.redis_shown, cause) from error
