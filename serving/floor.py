"""The floor of an answer: the same question asked of a replica in its own process.

Without Ray, HTTP or another process in between; what is left is reading, finding, ranking,
rules and JSON. Run as `python -m serving.floor` with a `Question` on stdin; prints one line of
`InProcess`. Stages are timed by wrapping the functions that answers really call, so nothing is
measured that is not served, and serving itself carries no clock for it.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import psutil

from nearline import settings
from nearline.bench.inprocess import InProcess, Memory, Question
from nearline.contracts.answer import RecommendQuery
from serving import answers, composing, desired, finding, replica, workers
from serving.bundles import Shelf
from serving.config import ServingConfig
from serving.desired import Desired
from serving.features import RedisFeatures
from serving.finder import Finder
from serving.finding import Found
from serving.follow import Follower
from serving.made import bytes_of
from serving.replica import Replica
from serving.watch import WatchState

# What an answer calls, by the stage that it belongs to. A stage contains those that it calls.
_STAGES: tuple[tuple[str, Any, str], ...] = (
    ("compose", answers, "compose"),
    ("find", composing, "find"),
    ("encoder", Finder, "query_vector"),
    ("index", finding, "_searched"),
    ("rank", composing, "scored"),
    ("rules", composing, "choose"),
    ("rules", composing, "violations"),
    ("explain", composing, "_items"),
    ("keep", answers.Answering, "_keep"),
)


class Watch:
    """Adds up where the time of the current answer goes."""

    def __init__(self) -> None:
        self.spent_ms: dict[str, float] = {}
        self.found: Found | None = None

    def sync(self, stage: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, timed."""

        def timed(*arguments: Any, **named: Any) -> Any:
            began_s = time.perf_counter()
            try:
                answer = call(*arguments, **named)
            finally:
                self._add(stage, began_s)
            if isinstance(answer, Found):
                self.found = answer
            return answer

        return timed

    def awaited(
        self, stage: str, call: Callable[..., Awaitable[Any]]
    ) -> Callable[..., Awaitable[Any]]:
        """The same coroutine function, timed."""

        async def timed(*arguments: Any, **named: Any) -> Any:
            began_s = time.perf_counter()
            try:
                return await call(*arguments, **named)
            finally:
                self._add(stage, began_s)

        return timed

    def _add(self, stage: str, began_s: float) -> None:
        took_ms = (time.perf_counter() - began_s) * 1_000
        self.spent_ms[stage] = self.spent_ms.get(stage, 0.0) + took_ms


class Loading:
    """How long a replica loads its bundle and its items, and what they take."""

    def __init__(self) -> None:
        self.seconds = {"bundle": 0.0, "items": 0.0}
        self.rss = {"imported": _rss(), "bundle": 0, "items": 0}
        self._prepare, self._step = Shelf.prepare, Follower.step

    def prepare(self, shelf: Shelf, *arguments: Any) -> None:
        began_s = time.perf_counter()
        self._prepare(shelf, *arguments)
        self.seconds["bundle"] += time.perf_counter() - began_s
        self.rss["bundle"] = _rss()

    async def step(self, follower: Follower) -> None:
        began_s, loaded = time.perf_counter(), follower.loaded
        await self._step(follower)
        if not loaded and follower.loaded:
            self.seconds["items"] = time.perf_counter() - began_s
            self.rss["items"] = _rss()


async def measure(question: Question, config: ServingConfig) -> InProcess:
    """Start a replica, ask it, and stop it."""
    loading, watch = Loading(), Watch()
    owners: list[tuple[Any, str, Any]] = [
        (replica, "_READY_LIMIT_S", question.ready_limit_s),
        (Shelf, "prepare", lambda shelf, *given: loading.prepare(shelf, *given)),
        (Follower, "step", lambda follower: loading.step(follower)),
        (RedisFeatures, "customer", watch.awaited("read", RedisFeatures.customer)),
    ]
    for stage, owner, name in _STAGES:
        owners.append((owner, name, watch.sync(stage, getattr(owner, name))))
    before = [(owner, name, getattr(owner, name)) for owner, name, _ in owners]
    for owner, name, wrapped in owners:
        setattr(owner, name, wrapped)
    try:
        one = Replica(config)
        await one.start()
        try:
            return await _ask(question, one, loading, watch)
        finally:
            await one.close()
    finally:
        for owner, name, held in before:
            setattr(owner, name, held)


async def _ask(question: Question, one: Replica, loading: Loading, watch: Watch) -> InProcess:
    answers_ms: list[float] = []
    stages_ms: dict[str, list[float]] = {}
    candidates: list[int] = []
    degraded: dict[str, None] = {}
    for number in range(question.warm_up + question.calls):
        customer_id = question.customers[number % len(question.customers)]
        watch.spent_ms = {}
        began_s = time.perf_counter()
        answer = await one.answers.recommend(RecommendQuery(customer_id, k=question.k))
        encoding_s = time.perf_counter()
        bytes_of(answer)
        ended_s = time.perf_counter()
        if number < question.warm_up:
            continue
        answers_ms.append((ended_s - began_s) * 1_000)
        spent = {**watch.spent_ms, "json": (ended_s - encoding_s) * 1_000}
        for stage in ("read", *dict.fromkeys(stage for stage, _, _ in _STAGES), "json"):
            stages_ms.setdefault(stage, []).append(spent.get(stage, 0.0))
        candidates.append(len(watch.found.options) if watch.found else 0)
        degraded |= dict.fromkeys(answer.degraded)
    table = one._items()
    return InProcess(
        answers_ms=answers_ms,
        stages_ms=stages_ms,
        candidates=candidates,
        candidate_ids=[option.item_id for option in watch.found.options] if watch.found else [],
        degraded=[str(reason) for reason in degraded],
        items=0 if table is None else len(table),
        load_bundle_s=loading.seconds["bundle"],
        load_items_s=loading.seconds["items"],
        memory=Memory(loading.rss["imported"], loading.rss["bundle"], loading.rss["items"], _rss()),
    )


def _rss() -> int:
    return int(psutil.Process().memory_info().rss)


def main() -> None:
    """Measure as the question on stdin says, with the settings of the environment."""
    workers.stay_lean()  # As every replica is.
    question = msgspec.json.decode(sys.stdin.buffer.read(), type=Question)
    config = ServingConfig.of(settings.load())
    if question.bundle:
        watched = WatchState(active="1", looked=True, registry=True)
        desired.write(config.bundles, Desired(question.bundle, watched=watched))
    sys.stdout.write(msgspec.json.encode(asyncio.run(measure(question, config))).decode() + "\n")


if __name__ == "__main__":
    main()
