"""The history writer as a process: connects, waits its turn, writes, and stops when told."""

from __future__ import annotations

import gc
import logging
import time

import redis
from prometheus_client import CollectorRegistry

from ingestion.archive.buffer import Limits
from ingestion.archive.compaction import merge_closed_days
from ingestion.archive.metrics import ArchiveMetrics
from ingestion.archive.writer import PAGE_EVENTS, Archive
from ingestion.worker.app import (
    MetricsPage,
    Turns,
    connect,
    leave,
    wait_out,
)
from ingestion.worker.lease import Leases, this_process
from nearline import served_files
from nearline.clock import SystemClock
from nearline.log import claim_partitions
from nearline.settings import Settings
from nearline.stopping import StopFlag
from nearline.transforms.buckets import DAY_US

JOB = "history"
_BLOCK_MS = 1_000
_GATHER_S = 0.1  # One by one, 200 events/s took 8 % of a core to read (measured).
_TIDY_EVERY_S = 3_600.0
_SERVED_EVERY_S = 30.0

_logger = logging.getLogger(__name__)


def run(settings: Settings, stop: StopFlag, *, once: bool) -> None:
    """Archive until `stop` is raised; with `once`, until the log holds nothing new.

    What was read is written before this returns. Raises StoreUnavailable when Redis cannot be
    reached at the start; later outages are waited out.
    """
    client = connect(settings)
    claim_partitions(client, settings.partitions)
    registry = CollectorRegistry()
    page = MetricsPage(settings.host, settings.metrics_port + 1, registry)
    metrics, clock = ArchiveMetrics(registry), SystemClock()
    leases = Leases(client, JOB, range(settings.partitions), holder=this_process(JOB), ttl_s=15.0)
    archive = Archive(
        client,
        leases,
        settings.history,
        Limits(settings.history_flush_s, settings.history_flush_events),
        settings.log_retention_days,
        clock,
        metrics,
    )
    gc.collect()
    gc.freeze()
    tell = Turns(leases, settings.partitions, "history")
    block_ms = None if once else max(1, min(_BLOCK_MS, int(settings.history_flush_s * 1_000)))
    tidy_due_s = served_due_s = 0.0
    try:
        while not stop.is_set():
            page.tend()
            try:
                read = archive.step(block_ms)
                tell()
                if 0 in leases.held and time.monotonic() >= served_due_s:  # One writer does it.
                    served_due_s = time.monotonic() + _SERVED_EVERY_S
                    served_files.archive(client, settings.served, leases.tend)
                if once and not read and not leases.others:
                    break
                if not once and 0 < read < PAGE_EVENTS:  # Keeping up: let some events gather.
                    stop.wait(_GATHER_S)
                if not leases.held:
                    stop.wait(0.1)
                elif time.monotonic() >= tidy_due_s + (_TIDY_EVERY_S if read else 0.0):
                    # When nothing arrives; on a log that never rests, a little later.
                    tidy_due_s = time.monotonic() + _TIDY_EVERY_S
                    archive.trim()
                    parts = merge_closed_days(settings.history, clock.now_us(), leases.tend)
                    metrics.merged.inc(parts)
                    kept_us = int(settings.served_days * DAY_US)
                    served_files.prune(settings.served, clock.now_us() - kept_us)
            except (redis.RedisError, OSError) as error:
                archive.start_over()
                wait_out(error, stop)
        archive.flush()
    except redis.RedisError:
        _logger.warning("Redis is away at the end: what is not written will be read again")
    finally:
        leave(leases, client)
