"""What operators watch, in Prometheus' format. No metric carries a customer.

Several replicas answer behind one address, so each page must tell of all of them: with
PROMETHEUS_MULTIPROC_DIR set, the library keeps every process' figures in files there, and
whoever is asked adds them up.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import psutil
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    generate_latest,
    multiprocess,
)

from nearline.contracts.answer import (
    Chosen,
    ChurnAnswer,
    Degradation,
    Recommendation,
    RecommendQuery,
    ScoresAnswer,
    ScoresQuery,
    TagsAnswer,
)
from serving.answers import Answering
from serving.exposures import Exposures
from serving.served_log import ServedLog
from serving.turns import Overloaded

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # The library's own name for it.
_LATENCY_MS = (1, 2, 5, 10, 15, 20, 30, 50, 75, 100, 150, 200, 300, 500, 1_000, 3_000)
ONE, BATCH = "one", "batch"  # What scores were asked of.
NO_BUNDLE = "none"  # The `bundle_role` of an answer that no bundle made.
_AGE_MS = (10, 50, 100, 300, 1_000, 3_000, 10_000, 60_000, 3_600_000, 86_400_000)

logger = logging.getLogger(__name__)


class Metrics:
    """The figures of one replica, and the page of all.

    `bundle_role` (champion, challenger or none) stands where an answer's bundle matters: a slow
    or failing challenger must not be lost in the champion's figures, nor blamed on it.
    """

    def __init__(
        self,
        exposures: Exposures,
        served: ServedLog | None = None,
        item_lag_ms: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self.registry = CollectorRegistry()
        self.recommend_latency_ms = self._latency("recommend", "bundle_role")
        for role in (*Chosen, NO_BUNDLE):  # At 0 from the start, so that the first one is seen.
            self.recommend_latency_ms.labels(role)
        self.churn_latency_ms = self._latency("churn")
        self.scores_latency_ms = self._latency("scores", "asked")
        for asked in (ONE, BATCH):
            self.scores_latency_ms.labels(asked)
        self.tags_latency_ms = self._latency("tags")
        self.stage_latency_ms = self._latency("stage", "stage")
        self.freshness_ms = Histogram(
            "nearline_freshness_ms",
            "Age of the newest event in a recommendation, since Nearline could know it.",
            buckets=_AGE_MS,
            registry=self.registry,
        )
        self.degraded = self._counter(
            "degraded",
            "Answers that missed a part, by answer, by what was missing and by the bundle's role.",
            "answer",
            "missing",
            "bundle_role",
        )
        self.rule_violations = self._counter(
            "rule_violations", "Finished lists that broke a rule; must stay at 0.", "rule"
        )
        self.overloaded = self._counter(
            "overloaded", "Questions refused since more was asked than can be answered in time."
        )
        self._gauges: dict[Gauge, Callable[[], float]] = {}
        self._gauge(
            "exposures_waiting", "Exposures that wait for the log.", lambda: exposures.waiting
        )
        self._gauge(
            "exposures_lost", "Exposures lost: the backlog was full.", lambda: exposures.lost
        )
        if served is not None:
            self._gauge(
                "served_written", "Answers whose vectors were kept.", lambda: served.written
            )
            self._gauge(
                "served_dropped", "Vectors dropped: the backlog was full.", lambda: served.dropped
            )
        self._gauge(
            "item_lag_ms",
            "Since the items in memory last followed the log, of the replica that is furthest "
            "behind.",
            item_lag_ms,
            of_all="livemax",
        )

    def _counter(self, name: str, help_: str, *labels: str) -> Counter:
        return Counter(f"nearline_{name}", help_, labels, registry=self.registry)

    def _latency(self, name: str, *labels: str) -> Histogram:
        return Histogram(
            f"nearline_{name}_latency_ms",
            f"Time to answer {name} inside the gateway.",
            labels,
            buckets=_LATENCY_MS,
            registry=self.registry,
        )

    def _gauge(
        self,
        name: str,
        help_: str,
        read: Callable[[], float],
        of_all: Literal["livesum", "livemax"] = "livesum",
    ) -> None:
        gauge = Gauge(f"nearline_{name}", help_, registry=self.registry, multiprocess_mode=of_all)
        self._gauges[gauge] = read

    def stage_took(self, name: str, ms: float) -> None:
        """Count one part of one answer."""
        self.stage_latency_ms.labels(name).observe(ms)

    def refresh(self) -> None:
        """Set the gauges to what is now; the others' pages show what was set last."""
        for gauge, read in self._gauges.items():
            gauge.set(read())

    def text(self) -> bytes:
        """The page that Prometheus scrapes."""
        self.refresh()
        folder = os.environ.get(SHARED_FOLDER)
        if folder is None:
            return generate_latest(self.registry)
        _bury_the_dead(Path(folder))
        everybody = CollectorRegistry()
        multiprocess.MultiProcessCollector(everybody, folder)  # type: ignore[no-untyped-call]
        return generate_latest(everybody)


def _bury_the_dead(folder: Path) -> None:
    """A replica that was killed cannot say so, and its gauges would stand for ever."""
    for left in folder.glob("gauge_live*.db"):
        pid = left.stem.rpartition("_")[2]
        if pid.isdigit() and not psutil.pid_exists(int(pid)):
            multiprocess.mark_process_dead(int(pid), str(folder))  # type: ignore[no-untyped-call]


class MeasuredAnswers:
    """Answers with their latency, freshness and degradations counted."""

    def __init__(self, answers: Answering, metrics: Metrics) -> None:
        self._answers, self._metrics = answers, metrics

    async def recommend(
        self, query: RecommendQuery, deadline_ms: float | None = None
    ) -> Recommendation:
        start = time.perf_counter()
        with self._counting_refusals():
            answered = await self._answers.answered(query, deadline_ms)
        for rule in answered.broken:
            logger.error("a finished list broke the rule %s", rule)
            self._metrics.rule_violations.labels(rule).inc()
        answer, role = answered.recommendation, answered.role or NO_BUNDLE
        self._metrics.recommend_latency_ms.labels(role).observe(_ms_since(start))
        self._count("recommend", answer.degraded, role)
        if answer.receipt.features_age_ms is not None and query.as_of_us is None:
            self._metrics.freshness_ms.observe(answer.receipt.features_age_ms)
        return answer

    async def churn(self, customer_id: str, as_of_us: int | None) -> ChurnAnswer:
        start = time.perf_counter()
        with self._counting_refusals():
            answer = await self._answers.churn(customer_id, as_of_us)
        self._metrics.churn_latency_ms.observe(_ms_since(start))
        self._count("churn", answer.degraded, _scoring(answer))
        return answer

    async def scores(
        self, query: ScoresQuery, deadline_ms: float | None = None
    ) -> tuple[ScoresAnswer, ...]:
        start = time.perf_counter()
        with self._counting_refusals():
            answers = await self._answers.scores(query, deadline_ms)
        asked = ONE if len(answers) == 1 else BATCH
        self._metrics.scores_latency_ms.labels(asked).observe(_ms_since(start))
        for answer in answers:
            self._count("scores", answer.degraded, _scoring(answer))
        return answers

    async def tags(self, customer_id: str, as_of_us: int | None) -> TagsAnswer:
        start = time.perf_counter()
        answer = await self._answers.tags(customer_id, as_of_us)
        self._metrics.tags_latency_ms.observe(_ms_since(start))
        self._count("tags", answer.degraded, NO_BUNDLE)
        return answer

    @contextmanager
    def _counting_refusals(self) -> Iterator[None]:
        try:
            yield
        except Overloaded:
            self._metrics.overloaded.inc()
            raise

    def _count(self, name: str, degraded: Collection[Degradation], role: str) -> None:
        for missing in degraded:
            self._metrics.degraded.labels(name, missing.value, role).inc()


def _scoring(answer: ChurnAnswer | ScoresAnswer) -> str:
    """The bundle's role; the champion alone scores."""
    return Chosen.CHAMPION if answer.versions.bundle else NO_BUNDLE


def _ms_since(start: float) -> float:
    return (time.perf_counter() - start) * 1_000
