"""What is worth seeing of the running parts, from two snapshots of them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nearline.top.window import Histogram, Samples, Window

COLLECTOR, WORKER, HISTORY, SERVE, STORE = "collector", "worker", "history", "serve", "redis"
PARTS = (COLLECTOR, WORKER, HISTORY, SERVE)  # Our own; the store has no page of this kind.


@dataclass(frozen=True, slots=True)
class Page:
    """A part's metrics page (empty for the store), or why there is none."""

    samples: Samples | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All parts at one moment. `at_s` is of a clock that only goes forward.

    `health` is what the gateway's /healthz says; `memory_bytes` is known of the store,
    and of the stack that `nearline up` has started on this machine.
    """

    at_s: float
    pages: Mapping[str, Page]
    health: Mapping[str, Any] = field(default_factory=dict)
    memory_bytes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Part:
    """One part: whether it answers (else why not), and the memory of its processes."""

    name: str
    up: bool
    problem: str
    memory_bytes: int | None


@dataclass(frozen=True, slots=True)
class Spread:
    """A histogram over the window: how many a second, and how they spread.

    `p50` and `p99` are None where nothing was observed; `shares` holds the upper bound and the
    share of each bucket.
    """

    per_s: float
    p50: float | None
    p99: float | None
    shares: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Figures:
    """What `nearline top` shows; None and empty where no part tells it."""

    window_s: float
    parts: tuple[Part, ...]
    bundle: str
    challenger: str
    freshness_ms: Spread | None
    answers_ms: Mapping[str, Spread]  # "recommend champion", "churn", ...
    stages_ms: Mapping[str, Spread]
    overloaded_per_s: float | None
    degraded_per_s: Mapping[str, float]
    violations: Mapping[str, float]  # By rule, since the gateway started.
    events_per_s: Mapping[str, float]  # By outcome.
    dead_letters: float | None
    worker_lag_ms: Spread | None
    partition_lag_ms: float | None  # Of the partition that is furthest behind.
    partitions_held: float | None
    archived_per_s: float | None
    history_waiting: float | None
    exposures_waiting: float | None
    exposures_lost: float | None
    item_lag_ms: float | None


def figures(snapshots: Sequence[Snapshot]) -> Figures:
    """What happened between the first snapshot and the last; one after another, two at least.

    A part that was down at first counts from when it answered.
    """
    after = snapshots[-1]
    collector, worker, history, serve = (_window(part, snapshots) for part in PARTS)
    return Figures(
        window_s=after.at_s - snapshots[0].at_s,
        parts=tuple(_part(name, after) for name in (*PARTS, STORE) if name in after.pages),
        bundle=str(after.health.get("bundle") or ""),
        challenger=str(after.health.get("challenger") or ""),
        freshness_ms=_spread(serve, "nearline_freshness_ms"),
        answers_ms=_answers(serve),
        stages_ms=_spreads(serve, "nearline_stage_latency_ms", "stage"),
        overloaded_per_s=_rate(serve, "nearline_overloaded_total"),
        degraded_per_s=_worth(serve.per_s("nearline_degraded_total", "missing")),
        violations=_worth(serve.now("nearline_rule_violations_total", "rule")),
        events_per_s=collector.per_s("nearline_events_total", "outcome"),
        dead_letters=_gauge(collector, "nearline_dead_letters"),
        worker_lag_ms=_spread(worker, "nearline_stream_lag_ms"),
        partition_lag_ms=max(
            worker.now("nearline_stream_partition_lag_ms", "partition").values(), default=None
        ),
        partitions_held=_gauge(worker, "nearline_stream_partitions_held"),
        archived_per_s=_rate(history, "nearline_history_events_total"),
        history_waiting=_gauge(history, "nearline_history_waiting_events"),
        exposures_waiting=_gauge(serve, "nearline_exposures_waiting"),
        exposures_lost=_gauge(serve, "nearline_exposures_lost"),
        item_lag_ms=_gauge(serve, "nearline_item_lag_ms"),
    )


def _window(part: str, snapshots: Sequence[Snapshot]) -> Window:
    pages = [(one.at_s, one.pages.get(part, Page()).samples) for one in snapshots]
    until_s, now = pages[-1]
    if now is None:
        return Window({}, {}, 1.0)
    since_s, then = next((at_s, page) for at_s, page in pages if page is not None)
    # Seen once only, nothing is known to have happened, in whatever time.
    return Window(then or {}, now, until_s - since_s or 1.0)


def _part(name: str, snapshot: Snapshot) -> Part:
    page = snapshot.pages[name]
    up = page.samples is not None
    return Part(name, up, page.problem, snapshot.memory_bytes.get(name))


def _answers(serve: Window) -> dict[str, Spread]:
    named = _spreads(serve, "nearline_recommend_latency_ms", "bundle_role")
    found = {f"recommend {role}": spread for role, spread in named.items()}
    scored = _spreads(serve, "nearline_scores_latency_ms", "asked")
    found |= {f"scores {asked}": spread for asked, spread in scored.items()}
    for answer in ("churn", "tags"):
        spread = _spread(serve, f"nearline_{answer}_latency_ms")
        if spread is not None:
            found[answer] = spread
    return found


def _spreads(window: Window, name: str, label: str) -> dict[str, Spread]:
    return {
        value: _told(window.histogram(name, **{label: value}), window.seconds)
        for value, ever in window.now(f"{name}_count", label).items()
        if ever
    }


def _spread(window: Window, name: str) -> Spread | None:
    found = window.histogram(name)
    return _told(found, window.seconds) if found.bounds else None


def _told(found: Histogram, seconds: float) -> Spread:
    return Spread(found.count / seconds, found.quantile(0.50), found.quantile(0.99), found.shares())


def _rate(window: Window, name: str) -> float | None:
    return window.per_s(name).get("")


def _gauge(window: Window, name: str) -> float | None:
    return window.now(name).get("")


def _worth(found: Mapping[str, float]) -> dict[str, float]:
    """Without what stands at 0, largest first."""
    return dict(sorted(((k, v) for k, v in found.items() if v), key=lambda kv: -kv[1]))
