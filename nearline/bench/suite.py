"""One run: what is measured, in which order, and beside which floor."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import msgspec

from nearline.bench import aside, questions, trials
from nearline.bench import floor as floors
from nearline.bench.floor import Floor
from nearline.bench.load import timed
from nearline.bench.plan import Plan, Progress
from nearline.bench.report import Figures, Latency, Rate
from nearline.bench.stats import summarise
from nearline.bench.trials import GIVE_UP_S, Ingest, Players, Trial
from nearline.client import Client
from nearline.errors import TransientError

_WARM_UP, _WARM_UP_TRIALS = 20, 5
_BATCH_EVENTS = 100
_FOLLOW_LIMIT_S = 120.0
_NOT_LOCAL = (
    "The system is not this machine's own, so what needs its files was not measured: the same "
    "question in one process, Feast's SDK, Ray Serve's echo."
)


@dataclass(frozen=True, slots=True)
class Measured:
    """The figures, and the answer whose bytes every echo gives."""

    figures: Figures
    answer: bytes
    customers: list[str]


def measure(plan: Plan, progress: Progress) -> Measured:
    """Run the plan. Raises what the client raises when the system does not answer."""
    made_up = {"analytics": True, "personalization": True}  # Its customers are nobody.
    with Client(
        plan.collector_url, plan.api_url, plan.write_key, made_up, read_timeout_s=5.0
    ) as client:
        stranger = client.recommend(f"bench-stranger-{plan.seed}", k=100)
        players = Players(plan.seed, plan.customers, stranger.items)
        # First, so that the bench's customers have a past when the clock is on them.
        rates = _ingest(plan, client, players, progress)
        answer = client.recommend(players.customer(0), k=trials.LIST_LENGTH)
        with floors.running(plan.redis_url, plan.run, answer) as floor:
            bench = _Bench(plan, client, players, floor, progress)
            lists = bench.follow("event to recommendation", "事件到推荐", trials.to_recommendation)
            tags = bench.follow("event to tag", "事件到标签", trials.to_tag)
            latencies = [*_events(bench, lists, tags)]
            busy, followed = questions.busy(plan, players, progress)
            latencies[1:1] = busy
            latencies.append(questions.steady(plan, players, progress))
            # Next to the question of one client over HTTP, which it is compared with.
            beside, remarks = _beside(plan, client, players, progress)
            asked = list(questions.closed(plan, questions.doors(plan, players, floor), progress))
            figures = Figures(
                latencies=(*latencies, *beside, *(latency for latency, _ in asked)),
                rates=(*rates, bench.floor_rate(), *(rate for _, rate in asked)),
                bundle=answer.versions.bundle,
                degraded=tuple(sorted({str(reason) for reason in answer.degraded})),
                trials=len(lists) + len(followed.answers_ms),
                missed=sum(trial.ms is None for trial in (*lists, *tags)),
                changed=sum(trial.changed for trial in lists) + followed.changed,
                remarks=tuple(remarks),
            )
            return Measured(figures, msgspec.json.encode(answer), players.customers)


def with_serve_echo(plan: Plan, measured: Measured, progress: Progress) -> Figures:
    """The figures with those of Ray Serve's echo; two cores are too few for both at once."""
    figures = measured.figures
    if plan.environ is None:
        return figures
    advance = progress("starting Ray Serve's echo", "启动 Ray Serve 回声", 1)
    try:
        with aside.serve_echo(plan.environ, measured.answer) as url:
            advance()
            door = questions.serve_door(url, measured.customers)
            found = list(questions.closed(plan, [door], progress))
    except TransientError as error:  # All other figures must not be lost for one more floor.
        return replace(figures, remarks=(*figures.remarks, f"Not measured: {error}"))
    return replace(
        figures,
        latencies=(*figures.latencies, *(latency for latency, _ in found)),
        rates=(*figures.rates, *(rate for _, rate in found)),
    )


def _events(bench: _Bench, lists: list[Trial], tags: list[Trial]) -> tuple[Latency, ...]:
    """Events followed one after another, and the floors of their way."""
    floor = bench.floor
    return (
        _arrivals(
            "event_to_recommendation",
            "event to a recommendation that has seen it",
            "事件到已反映它的推荐",
            lists,
        ),
        _arrivals("event_to_tag", "event to a tag that has seen it", "事件到已反映它的标签", tags),
        bench.latency(
            "floor_through",
            "floor: echo + log + store + echo",
            "下限：回声+日志+存储+回声",
            floor.through,
        ),
        bench.latency(
            "floor_log_to_features",
            "floor: log to features",
            "下限：日志到特征",
            floor.log_to_features,
        ),
        bench.latency(
            "accept",
            "collector accepts one event (on disk)",
            "采集确认单个事件（已落盘）",
            lambda number: trials.accept(bench.client, bench.players, number),
            floor="floor_accept",
        ),
        bench.latency("floor_accept", "floor: echo + XADD", "下限：回声+XADD", floor.accept),
    )


def _beside(
    plan: Plan, client: Client, players: Players, progress: Progress
) -> tuple[list[Latency], list[str]]:
    """The same question in one process, and what Feast's SDK needs to read its candidates."""
    if plan.environ is None:
        return [], [_NOT_LOCAL]
    inside, candidates, remarks = aside.in_process(plan, plan.environ, players, progress)
    others = {item.item_id: None for item in players.items}
    for customer_id in players.customers:
        if len(others) >= aside.FEAST_ITEMS:
            break
        others |= {item.item_id: None for item in client.recommend(customer_id, k=100).items}
    read, more = aside.feast(plan, plan.environ, candidates, list(others), progress)
    return [*inside, *read], [*remarks, *more]


def _ingest(plan: Plan, client: Client, players: Players, progress: Progress) -> tuple[Rate, Rate]:
    """Batches one after another: accepted, and seen by the answers."""
    ingest = Ingest(plan.collector_url, plan.write_key, players, _BATCH_EVENTS)
    advance = progress("events in batches", "批量写入事件", plan.batches)
    try:
        started = time.perf_counter()
        for number in range(plan.batches):
            ingest.batch(number)
            advance()
        accepted_s = time.perf_counter() - started
        ingest.await_visible(client, _FOLLOW_LIMIT_S)
        visible_s = time.perf_counter() - started
    finally:
        ingest.close()
    events = plan.batches * _BATCH_EVENTS
    batches = f"batches of {_BATCH_EVENTS}, one client"
    return (
        Rate(
            "ingest_accepted",
            f"events accepted, on disk ({batches})",
            "已确认落盘的事件",
            events / accepted_s,
            "floor_batches",
        ),
        Rate(
            "ingest_visible",
            f"events until answers had seen all ({batches})",
            "直到答案全部可见的事件",
            events / visible_s,
            "floor_batches",
        ),
    )


@dataclass(frozen=True, slots=True)
class _Bench:
    """The running system and its floor, asked by the bench itself: one call after another."""

    plan: Plan
    client: Client
    players: Players
    floor: Floor
    progress: Progress

    def follow(self, en: str, zh: str, one: Callable[[Client, Players, int], Trial]) -> list[Trial]:
        """Single events, one after another, each followed until an answer has seen it.

        A few that do not count come first.
        """
        advance = self.progress(en, zh, self.plan.trials + _WARM_UP_TRIALS)
        done: list[Trial] = []
        for number in range(self.plan.trials + _WARM_UP_TRIALS):
            done.append(one(self.client, self.players, number))
            advance()
        return done[_WARM_UP_TRIALS:]

    def latency(
        self, key: str, en: str, zh: str, call: Callable[[int], object], floor: str | None = None
    ) -> Latency:
        """As many calls as trials, after a short warm-up that does not count."""
        advance = self.progress(en, zh, self.plan.trials + _WARM_UP)

        def counted(number: int) -> None:
            call(number)
            advance()

        timed(_WARM_UP, 1, counted)
        done = timed(self.plan.trials, 1, counted)
        return Latency(key, en, zh, summarise(done.samples_ms), floor)

    def floor_rate(self) -> Rate:
        """Pipelines of XADD, as large as the batches were."""
        done = floors.batches(self.floor, self.plan.batches, _BATCH_EVENTS)
        events = self.plan.batches * _BATCH_EVENTS
        return Rate(
            "floor_batches",
            f"floor: XADD in pipelines of {_BATCH_EVENTS}",
            "下限：XADD 流水线",
            events / done.wall_s,
        )


def _arrivals(key: str, en: str, zh: str, done: list[Trial]) -> Latency:
    """What never arrived counts as long as the bench has waited: never less."""
    samples = [GIVE_UP_S * 1_000 if trial.ms is None else trial.ms for trial in done]
    return Latency(key, en, zh, summarise(samples), "floor_through")
