"""The worker as a process: connects, waits its turn, works, and stops when told."""

from __future__ import annotations

import contextlib
import gc
import logging
import math
import time
from collections.abc import Callable

import click
import redis
from prometheus_client import CollectorRegistry, start_http_server

from ingestion.worker.lease import Holder, Leases, this_process
from ingestion.worker.loop import Worker
from ingestion.worker.metrics import WorkerMetrics
from ingestion.worker.store import OnlineStore
from nearline.clock import SystemClock
from nearline.connecting import connected
from nearline.errors import StoreUnavailable, TransientError
from nearline.log import claim_partitions
from nearline.say import say
from nearline.settings import Settings
from nearline.stopping import StopFlag

JOB = "worker"
_BLOCK_MS = 1_000
_RETRY_S = 0.5
_PORT_EVERY_S = 2.0

_logger = logging.getLogger(__name__)


def run(settings: Settings, stop: StopFlag, *, once: bool) -> None:
    """Work until `stop` is raised; with `once`, until the log holds nothing new.

    Raises StoreUnavailable when Redis cannot be reached at the start. Later outages are
    waited out.
    """
    client = connect(settings)
    claim_partitions(client, settings.partitions)
    registry = CollectorRegistry()
    page = MetricsPage(settings.host, settings.metrics_port, registry)
    leases = Leases(client, JOB, range(settings.partitions), holder=this_process(JOB))
    worker = Worker(client, leases, OnlineStore(client), WorkerMetrics(registry), SystemClock())
    # What lives now lives for good: the collector need not look through it again.
    gc.collect()
    gc.freeze()
    tell = Turns(leases, settings.partitions, "worker")
    try:
        while not stop.is_set():
            page.tend()
            try:
                read = worker.step(None if once else _BLOCK_MS)
            except (redis.RedisError, TransientError) as error:
                worker.forget_positions()
                wait_out(error, stop)
                continue
            tell()
            if once and not read and not leases.others:
                break
            if not leases.held:
                stop.wait(0.1)
        with contextlib.suppress(redis.RedisError):  # Then they are read again, and change nothing.
            worker.record()
    finally:
        leave(leases, client)


def connect(settings: Settings) -> redis.Redis:
    """A client for a loop that blocks for about a second; raises StoreUnavailable."""
    client = connected(settings)
    try:
        client.ping()
    except redis.RedisError as error:
        client.close()
        raise StoreUnavailable("Redis", settings.redis_shown, type(error).__name__) from error
    return client


def leave(leases: Leases, client: redis.Redis) -> None:
    """Give the leases back if the server can be reached, and hang up."""
    try:
        leases.release()
    except redis.RedisError:
        _logger.info("the leases could not be given back; they expire by themselves")
    client.close()


def wait_out(error: Exception, stop: StopFlag) -> None:
    """Say what went wrong, and pause before the next attempt."""
    _logger.warning("%s: %s; trying again", type(error).__name__, without_command(error))
    stop.wait(_RETRY_S)


def without_command(error: Exception) -> str:
    """What an error says, less the command: a pipeline's names the key, and so the customer."""
    return str(error).rpartition("of pipeline caused error: ")[2]


class MetricsPage:
    """Answers Prometheus; while the port is taken, work goes on without.

    So it is for a second process that waits: it answers once the first one is gone.
    """

    def __init__(self, host: str, port: int, registry: CollectorRegistry) -> None:
        self._host, self._port, self._registry = host, port, registry
        self._open, self._due_s = False, -math.inf

    def tend(self) -> None:
        """Ask for the port, now and then, until it is there."""
        if self._open or time.monotonic() < self._due_s:
            return
        try:
            start_http_server(self._port, addr=self._host, registry=self._registry)
            self._open = True
        except OSError as error:
            if math.isinf(self._due_s):
                what = "%s:%d cannot be had for metrics (%s); they answer there once it can"
                _logger.warning(what, self._host, self._port, error.strerror)
            self._due_s = time.monotonic() + _PORT_EVERY_S


class Turns:
    """Tells, once for each change, on what a process works and for whom it waits."""

    def __init__(
        self,
        leases: Leases,
        partitions: int,
        what: str,
        write: Callable[[str], None] = click.echo,
    ) -> None:
        self._leases, self._partitions, self._what, self._write = leases, partitions, what, write
        self._said: frozenset[int] | None = None

    def __call__(self) -> None:
        held = self._leases.held
        lapsed = len(held) + len(self._leases.others) < self._partitions
        if held == self._said or lapsed:  # A lapsed lease is settled at the next step.
            return
        self._said = held
        total, what = self._partitions, self._what
        if len(held) == total:
            text = say(
                f"{what} ready: works on all {total} partitions",
                f"{what} 就绪：处理全部 {total} 个分区",
            )
        else:
            others = {self._leases.others[p] for p in sorted(self._leases.others)}
            who = ", ".join(sorted(name_of(other) for other in others))
            text = say(
                f"{what} waits for {total - len(held)} of {total} partitions, held by {who}; "
                "takes over when they are given up",
                f"{what} 等待 {total} 个分区中的 {total - len(held)} 个（由 {who} 持有），"
                "释放后接管",
            )
        self._write(text)


def name_of(holder: Holder | None) -> str:
    """A process, as a person would look for it."""
    if holder is None:
        return "an unknown process"
    return f"{holder.role} (process {holder.pid} on {holder.host})"
