"""The backfill as a process: connects, shows its progress, and gives its leases back."""

from __future__ import annotations

import redis
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from ingestion.backfill.job import Backfill, Report
from ingestion.worker.app import JOB, connect, leave
from ingestion.worker.lease import Leases, this_process
from nearline.errors import StoreUnavailable
from nearline.log import claim_partitions
from nearline.say import say
from nearline.settings import Settings
from nearline.stopping import interrupt_on_term

_LEASE_S = 60.0  # Longer than the worker's: a large day takes seconds to sort.


def run(settings: Settings) -> Report:
    """Run one backfill; raises NearlineError with a sentence that says what to do."""
    client = connect(settings)
    claim_partitions(client, settings.partitions)
    # The worker's own leases: the two never work at the same time. The role is a mark that
    # keeps the log from being trimmed meanwhile (ingestion.archive.writer).
    leases = Leases(
        client, JOB, range(settings.partitions), holder=this_process("backfill"), ttl_s=_LEASE_S
    )
    try:
        with interrupt_on_term(), _bars() as bars:  # Every moment is a good one to stop.
            steps = _Steps(bars)
            job = Backfill(client, leases, settings.history, settings.partitions, steps)
            return job.run()
    except redis.RedisError as error:
        # Not its text: a pipeline's error names the key, and so the customer.
        raise StoreUnavailable("Redis", settings.redis_shown, type(error).__name__) from None
    finally:
        leave(leases, client)


class _Steps:
    """A bar for each stage, made when the stage begins."""

    def __init__(self, bars: Progress) -> None:
        self._bars = bars
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, what: str, done: int, of: int) -> None:
        if what not in self._tasks:
            names = {
                "history": say("reading history", "读取历史"),
                "log": say("reading the log behind it", "读取其后的日志"),
                "rows": say("writing features", "写入特征"),
            }
            self._tasks[what] = self._bars.add_task(names[what], total=of)
        self._bars.update(self._tasks[what], completed=done, total=of)


def _bars() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
