"""The load generator: a process of its own, so that asking does not disturb who measures.

Run as `python -m nearline.bench.driver`: a `Job` on stdin, lines of `Tick` and then one of
`Outcome` on stdout. One thread with an event loop asks; how much of a core that takes, and how
late it was, is part of the outcome.
"""

from __future__ import annotations

import asyncio
import gc
import random
import sys
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

import msgspec

from nearline.bench.asking import Asker, asker
from nearline.bench.jobs import Closed, Job, Open, Outcome, Seen, Stream, Tick
from nearline.bench.stats import percentile

_TICK_S = 1.0
_AHEAD_S = 0.5  # So long before an event is due, what must be ready for it is asked for.
_LEAVE_S = 10.0  # Answers that are this late are not waited for: their clients have given up.


@dataclass
class _Log:
    """What one stream has seen so far."""

    answers_ms: list[float] = field(default_factory=list)
    late_ms: list[float] = field(default_factory=list)
    refused: int = 0
    failed: int = 0
    changed: int = 0


async def drive(job: Job) -> Outcome:
    """Run all streams at the same time."""
    async with AsyncExitStack() as closing:
        askers = [await asker(stream.what, closing) for stream in job.streams]
        for stream, one in zip(job.streams, askers, strict=True):
            for number in range(stream.warm_up):
                await _once(one, number, _Log(), None)
        gc.collect()
        gc.freeze()
        ticking = asyncio.create_task(_tick())
        cpu_s, started_s = time.process_time(), time.perf_counter()
        seen = await asyncio.gather(*map(_run, job.streams, askers))
        wall_s = time.perf_counter() - started_s
        core_share = (time.process_time() - cpu_s) / wall_s
        ticking.cancel()
        return Outcome(list(seen), core_share)


async def _run(stream: Stream, one: Asker) -> Seen:
    log, started_s = _Log(), time.perf_counter()
    match stream.how:
        case Closed(clients, seconds):
            await _closed(one, clients, seconds, stream.warm_up, log)
        case Open():
            await _open(one, stream.how, stream.warm_up, log)
    return Seen(
        name=stream.name,
        answers_ms=log.answers_ms,
        refused=log.refused,
        failed=log.failed,
        wall_s=time.perf_counter() - started_s,
        late_p99_ms=percentile(log.late_ms, 0.99) if log.late_ms else 0.0,
        changed=log.changed,
    )


async def _closed(one: Asker, clients: int, seconds: float, first: int, log: _Log) -> None:
    ends_s = time.perf_counter() + seconds

    async def client(place: int) -> None:
        number = first + place
        while time.perf_counter() < ends_s:
            waits_s = await _once(one, number, log, None)
            number += clients
            if waits_s:
                await asyncio.sleep(min(waits_s, max(0.0, ends_s - time.perf_counter())))

    await asyncio.gather(*map(client, range(clients)))


async def _open(one: Asker, how: Open, first: int, log: _Log) -> None:
    rng = random.Random(how.seed)  # noqa: S311 - a repeatable choice
    start_s = time.perf_counter() + (_AHEAD_S if one.prepare else 0.0)
    due_s, number, running = start_s, first, set[asyncio.Task[float]]()
    while (due_s := due_s + rng.expovariate(how.rate_per_s)) < start_s + how.seconds:
        ahead_s = _AHEAD_S if one.prepare else 0.0
        await asyncio.sleep(max(0.0, due_s - ahead_s - time.perf_counter()))
        task = asyncio.create_task(_once(one, number, log, due_s))
        running.add(task)  # Kept, they would be looked through by each garbage collection:
        task.add_done_callback(running.discard)  # after 30,000 that stopped all asking for 80 ms.
        number += 1
    if running:
        _, late = await asyncio.wait(running, timeout=_LEAVE_S)
        log.failed += len(late)
        for task in late:
            task.cancel()


async def _once(one: Asker, number: int, log: _Log, due_s: float | None) -> float:
    """Ask once and note how it ended; returns how long a refused client should wait, in s."""
    if one.prepare:
        await one.prepare(number)
    if due_s is not None:
        await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
        log.late_ms.append((time.perf_counter() - due_s) * 1_000)
    began_s = time.perf_counter() if due_s is None else due_s
    reply = await one.ask(number)
    if reply.answered:
        log.answers_ms.append((time.perf_counter() - began_s) * 1_000)
        log.changed += reply.changed
    elif reply.refused:
        log.refused += 1
    else:
        log.failed += 1
    return reply.waited_s


async def _tick() -> None:
    started_s = time.perf_counter()
    while True:
        await asyncio.sleep(_TICK_S)
        _say(Tick(time.perf_counter() - started_s))


def _say(line: Tick | Outcome) -> None:
    sys.stdout.write(msgspec.json.encode(line).decode() + "\n")
    sys.stdout.flush()


def main() -> None:
    """Read the job, do it, tell the outcome."""
    job = msgspec.json.decode(sys.stdin.buffer.read(), type=Job)
    _say(asyncio.run(drive(job)))


if __name__ == "__main__":
    main()
