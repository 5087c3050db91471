"""Nearline's own processes under test, and somebody who never stops sending events."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Event as Flag
from threading import Thread

import redis.asyncio

from nearline.contracts.event import Event
from nearline.contracts.verdict import Outcome
from nearline.embedded.valkey import free_port
from nearline.log import EventLog

_ROOT = Path(__file__).parents[3]
COMMANDS = {
    "worker": "from ingestion.worker.commands import worker; worker()",
    "history": "from ingestion.archive.commands import history; history()",
    "backfill": "from ingestion.backfill.commands import backfill; backfill()",
}


def environment(home: Path, port: int, partitions: int, **more: str) -> dict[str, str]:
    return {
        **os.environ,
        "NEARLINE_HOME": str(home),
        "NEARLINE_REDIS_URL": f"redis://127.0.0.1:{port}/0",
        "NEARLINE_PARTITIONS": str(partitions),
        "NEARLINE_METRICS_PORT": str(free_port()),
        "NEARLINE_LANG": "en",
        **more,
    }


class Running:
    """A command as a process of its own, whose output goes to a file."""

    def __init__(self, command: str, env: dict[str, str], output: Path) -> None:
        self.output = output
        with output.open("ab") as handle:
            self._process = subprocess.Popen(
                [sys.executable, "-c", COMMANDS[command]],
                env=env,
                cwd=_ROOT,
                stdout=handle,
                stderr=subprocess.STDOUT,
            )

    def kill(self) -> None:
        """As `kill -9` does. Fails when it had ended by itself."""
        assert self._process.poll() is None, self.output.read_text()
        self._process.kill()
        self._process.wait()

    def end(self) -> int:
        """Ask it to stop; returns its exit status."""
        self._process.terminate()
        try:
            return self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise


class Sender(Thread):
    """Sends a log in small batches, some events twice, until the log ends or it is stopped."""

    def __init__(self, port: int, partitions: int, log: Sequence[Event], seed: int) -> None:
        super().__init__(daemon=True)
        self.accepted: list[str] = []
        self.duplicates = 0
        self.stop = Flag()
        self.error: BaseException | None = None
        self._port, self._partitions, self._log = port, partitions, log
        self._chance = random.Random(seed)

    def run(self) -> None:
        try:
            asyncio.run(self._send())
        except BaseException as error:  # noqa: BLE001 - the test looks at it
            self.error = error

    async def _send(self) -> None:
        sent = 0
        async with redis.asyncio.Redis(port=self._port) as client:
            log = EventLog(client, self._partitions)
            while sent < len(self._log) and not self.stop.is_set():
                size = self._chance.randrange(1, 20)
                batch = [*self._log[sent : sent + size]]
                sent += size
                again = self._chance.randrange(3)
                batch += self._chance.choices(self._log[:sent], k=again)
                for verdict in await log.append(batch):
                    if verdict.outcome is Outcome.ACCEPTED:
                        self.accepted.append(verdict.event_id or "")
                    else:
                        self.duplicates += 1
                await asyncio.sleep(self._chance.random() * 0.03)


def until(what: str, true: Callable[[], bool], limit_s: float = 60.0) -> None:
    """Wait until something holds; fails with its name."""
    deadline = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < deadline, f"not within {limit_s:.0f} s: {what}"
        time.sleep(0.005)
