"""What the load generator measures: closed loops beside their floors, and open ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from nearline.bench import processes, trials
from nearline.bench.floor import Floor
from nearline.bench.jobs import AskGrpc, AskHttp, Closed, Follow, Job, Look, Open, Seen, Stream
from nearline.bench.plan import (
    BUSY_ASKS_PER_S,
    BUSY_EVENTS_PER_S,
    BUSY_FOLLOWS_PER_S,
    CLIENTS,
    OPEN_RATE_PER_S,
    Plan,
    Progress,
)
from nearline.bench.report import Latency, Rate
from nearline.bench.stats import summarise
from nearline.bench.trials import Players
from nearline.errors import TransientError

_CROWD = 200  # Customers who look at items while others are followed.


@dataclass(frozen=True, slots=True)
class Door:
    """One way to ask: its key, names, how, and the key of its floor ("" for a floor)."""

    key: str
    en: str
    zh: str
    what: AskHttp | AskGrpc
    floor: str = ""

    def named(self, clients: int) -> tuple[str, str]:
        """Its names with so many clients."""
        many = f", {clients} clients" if clients > 1 else ""
        return f"{self.en}{many}", f"{self.zh}{f'，{clients} 个客户端' if clients > 1 else ''}"


def doors(plan: Plan, players: Players, floor: Floor) -> tuple[Door, ...]:
    """Ours over HTTP and gRPC, each before the floors that it stands beside."""
    customers, k = players.customers, trials.LIST_LENGTH
    return (
        Door(
            "recommend_http",
            "recommend, HTTP",
            "推荐 HTTP",
            AskHttp(plan.api_url, customers, k),
            "floor_http",
        ),
        Door(
            "floor_http",
            "floor: HTTP echo (bare ASGI)",
            "下限：HTTP 回声（ASGI）",
            AskHttp(floor.http_url, customers, k),
        ),
        Door(
            "floor_fastapi",
            "floor: FastAPI echo",
            "下限：FastAPI 回声",
            AskHttp(floor.fastapi_url, customers, k),
        ),
        Door(
            "recommend_grpc",
            "recommend, gRPC",
            "推荐 gRPC",
            AskGrpc(plan.api_grpc, customers, k),
            "floor_grpc",
        ),
        Door(
            "floor_grpc",
            "floor: gRPC echo",
            "下限：gRPC 回声",
            AskGrpc(floor.grpc_address, customers, k),
        ),
    )


def serve_door(url: str, customers: list[str]) -> Door:
    """Ray Serve's own echo, which runs when ours has stopped."""
    return Door(
        "floor_serve",
        "floor: Ray Serve echo, same modes",
        "下限：Ray Serve 回声（相同模式）",
        AskHttp(url, customers, trials.LIST_LENGTH),
    )


def closed(plan: Plan, doors: Sequence[Door], progress: Progress) -> Iterator[tuple[Latency, Rate]]:
    """Doors asked by one client and by several at once: times, and answers a second.

    With so many clients every door in turn, so that what disturbs one disturbs its floor, too.
    """
    for clients in CLIENTS:
        for door in doors:
            en, zh = door.named(clients)
            advance = progress(en, zh, int(plan.seconds))
            stream = Stream(door.key, door.what, Closed(clients, plan.seconds))
            outcome = processes.drive(Job([stream]), advance)
            (seen,) = outcome.seen
            key, floor = f"{door.key}_{clients}", f"{door.floor}_{clients}" if door.floor else None
            yield (
                latency_of(seen, key, en, zh, outcome.core_share, floor),
                Rate(key, en, zh, len(seen.answers_ms) / seen.wall_s, floor, "answers/s"),
            )


def steady(plan: Plan, players: Players, progress: Progress) -> Latency:
    """Recommendations by the clock, each timed from when it was due."""
    en = f"recommend, HTTP, {OPEN_RATE_PER_S:.0f} a second (open loop)"
    zh = f"推荐 HTTP，每秒 {OPEN_RATE_PER_S:.0f} 次（开环）"
    advance = progress(en, zh, int(plan.open_seconds))
    what = AskHttp(plan.api_url, players.customers, trials.LIST_LENGTH)
    how = Open(OPEN_RATE_PER_S, plan.open_seconds, plan.seed)
    outcome = processes.drive(Job([Stream("open", what, how)]), advance)
    return latency_of(outcome.seen[0], "recommend_open", en, zh, outcome.core_share, "floor_http_1")


def busy(plan: Plan, players: Players, progress: Progress) -> tuple[list[Latency], Seen]:
    """Events followed to a recommendation while others look and ask; also what was followed."""
    seconds = plan.open_seconds
    beside = f"{BUSY_EVENTS_PER_S:.0f} events/s + {BUSY_ASKS_PER_S:.0f} recommendations/s"
    beside_zh = f"另有每秒 {BUSY_EVENTS_PER_S:.0f} 个事件与 {BUSY_ASKS_PER_S:.0f} 次推荐"
    advance = progress(f"event to recommendation beside {beside}", beside_zh, int(seconds))

    def look(customers: list[str], seed: int) -> Look:
        return Look(plan.collector_url, plan.write_key, customers, players.items, seed)

    crowd = [f"bench-{plan.seed}-crowd-{number}" for number in range(_CROWD)]
    follow = Follow(look(players.customers, plan.seed + 1), plan.api_url, trials.LIST_LENGTH)
    ask = AskHttp(plan.api_url, players.customers, trials.LIST_LENGTH)
    streams = [
        Stream("follow", follow, Open(BUSY_FOLLOWS_PER_S, seconds, plan.seed)),
        Stream("look", look(crowd, plan.seed), Open(BUSY_EVENTS_PER_S, seconds, plan.seed + 2)),
        Stream("ask", ask, Open(BUSY_ASKS_PER_S, seconds, plan.seed + 3)),
    ]
    outcome = processes.drive(Job(streams), advance)
    share = outcome.core_share
    follow_seen, look_seen, ask_seen = outcome.seen
    return [
        latency_of(
            follow_seen,
            "event_to_recommendation_busy",
            f"event to a recommendation that has seen it, beside {beside}",
            f"事件到已反映它的推荐，{beside_zh}",
            share,
            "floor_through",
        ),
        latency_of(
            look_seen,
            "accept_busy",
            "meanwhile: collector accepts one event",
            "同时：采集确认单个事件",
            share,
            "floor_accept",
        ),
        latency_of(
            ask_seen,
            "recommend_busy",
            "meanwhile: recommend, HTTP",
            "同时：推荐 HTTP",
            share,
            "floor_http_1",
        ),
    ], follow_seen


def latency_of(
    seen: Seen, key: str, en: str, zh: str, core_share: float, floor: str | None = None
) -> Latency:
    """What a stream saw as a row; raises TransientError where nothing was answered."""
    if not seen.answers_ms:
        raise TransientError(
            f"nothing answered while {en!r} was measured: {seen.refused} refused (429), "
            f"{seen.failed} failed. Is it running? `nearline doctor` tells."
        )
    return Latency(
        key,
        en,
        zh,
        summarise(seen.answers_ms),
        floor,
        refused=seen.refused,
        failed=seen.failed,
        asking=core_share,
        late_p99_ms=seen.late_p99_ms,
    )
