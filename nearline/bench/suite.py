"""The plan of one run: what is measured, in which order, and beside which floor."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import grpc

from nearline.bench import floor as floors
from nearline.bench import trials
from nearline.bench.floor import Floor
from nearline.bench.load import timed
from nearline.bench.report import LIMIT_MS, TAG_LIMIT_MS, Figures, Latency, Rate
from nearline.bench.stats import summarise
from nearline.bench.trials import GIVE_UP_S, Ingest, Players, Trial
from nearline.client import Client
from nearline.v1 import recommend_pb2, recommend_pb2_grpc

CLIENTS = (1, 8)
_WARM_UP, _WARM_UP_TRIALS = 20, 5
_BATCH_EVENTS = 100
_FOLLOW_LIMIT_S = 120.0
Progress = Callable[[str, str, int], Callable[[], None]]  # titles, steps; returns "one more"


@dataclass(frozen=True, slots=True)
class Plan:
    """Where the system is and how much is asked of it."""

    collector_url: str
    api_url: str
    api_grpc: str
    write_key: str
    redis_url: str
    run: str
    seed: int
    trials: int
    customers: int
    batches: int


def measure(plan: Plan, progress: Progress) -> Figures:
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
            latencies = (
                _arrivals(
                    "event_to_recommendation",
                    "event to a recommendation that has seen it",
                    "事件到已反映它的推荐",
                    lists,
                    LIMIT_MS,
                ),
                _arrivals(
                    "event_to_tag",
                    "event to a tag that has seen it",
                    "事件到已反映它的标签",
                    tags,
                    TAG_LIMIT_MS,
                ),
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
                    lambda number: trials.accept(client, players, number),
                    floor="floor_accept",
                ),
                bench.latency(
                    "floor_accept", "floor: echo + XADD", "下限：回声+XADD", floor.accept
                ),
                *bench.questions(),
            )
            return Figures(
                latencies=latencies,
                rates=(*rates, bench.floor_rate()),
                bundle=answer.versions.bundle,
                degraded=tuple(sorted({str(reason) for reason in answer.degraded})),
                trials=len(lists),
                missed=sum(trial.ms is None for trial in (*lists, *tags)),
                changed=sum(trial.changed for trial in lists),
            )


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
    """The running system and its floor."""

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
        self,
        key: str,
        en: str,
        zh: str,
        call: Callable[[int], object],
        *,
        clients: int = 1,
        floor: str | None = None,
    ) -> Latency:
        """As many calls as trials, after a short warm-up that does not count."""
        advance = self.progress(en, zh, self.plan.trials + _WARM_UP)

        def counted(number: int) -> None:
            call(number)
            advance()

        timed(_WARM_UP, clients, counted)
        done = timed(self.plan.trials, clients, counted)
        return Latency(key, en, zh, summarise(done.samples_ms), floor)

    def questions(self) -> list[Latency]:
        """Recommend over HTTP and gRPC, by one client and by several, with their echoes."""
        found: list[Latency] = []
        with (
            grpc.insecure_channel(self.plan.api_grpc) as channel,
            grpc.insecure_channel(self.floor.grpc_address) as echo,
        ):
            ask = recommend_pb2_grpc.RecommendationsStub(channel).Recommend  # type: ignore[no-untyped-call]
            ask_echo = recommend_pb2_grpc.RecommendationsStub(echo).Recommend  # type: ignore[no-untyped-call]
            for clients in CLIENTS:
                many = f", {clients} clients" if clients > 1 else ""
                zh = f"，{clients} 个客户端" if clients > 1 else ""
                calls = (
                    ("http", "HTTP", self._ask_http, self.floor.recommend),
                    ("grpc", "gRPC", self._grpc(ask), self._grpc(ask_echo)),
                )
                for key, name, real, floor in calls:
                    floor_key = f"floor_{key}_{clients}"
                    found += (
                        self.latency(
                            f"recommend_{key}_{clients}",
                            f"recommend, {name}{many}",
                            f"推荐 {name}{zh}",
                            real,
                            clients=clients,
                            floor=floor_key,
                        ),
                        self.latency(
                            floor_key,
                            f"floor: {name} echo{many}",
                            f"下限：{name} 回声{zh}",
                            floor,
                            clients=clients,
                        ),
                    )
        return found

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

    def _ask_http(self, number: int) -> None:
        self.client.recommend(self.players.customer(number), k=trials.LIST_LENGTH)

    def _grpc(self, stub: Callable[..., object]) -> Callable[[int], object]:
        def ask(number: int) -> object:
            question = recommend_pb2.RecommendRequest(
                customer_id=self.players.customer(number), k=trials.LIST_LENGTH
            )
            return stub(question, timeout=5.0)

        return ask


def _arrivals(key: str, en: str, zh: str, done: list[Trial], limit_ms: float) -> Latency:
    """What never arrived counts as long as the bench has waited: never less."""
    samples = [GIVE_UP_S * 1_000 if trial.ms is None else trial.ms for trial in done]
    return Latency(key, en, zh, summarise(samples), "floor_through", limit_ms)
