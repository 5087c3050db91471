"""What operators watch, in Prometheus' format. No metric carries a customer."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from nearline.contracts.answer import (
    Chosen,
    ChurnAnswer,
    Degradation,
    Recommendation,
    RecommendQuery,
    TagsAnswer,
)
from serving.answers import Answering
from serving.exposures import Exposures
from serving.served_log import ServedLog

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_LATENCY_MS = (1, 2, 5, 10, 15, 20, 30, 50, 75, 100, 150, 200, 300, 500, 1_000, 3_000)
NO_BUNDLE = "none"  # The `bundle_role` of an answer that no bundle made.
_AGE_MS = (10, 50, 100, 300, 1_000, 3_000, 10_000, 60_000, 3_600_000, 86_400_000)


class Metrics:
    """One registry of one gateway replica.

    `bundle_role` (champion, challenger or none) stands where an answer's bundle matters: a slow
    or failing challenger must not be lost in the champion's figures, nor blamed on it.
    """

    def __init__(self, exposures: Exposures, served: ServedLog | None = None) -> None:
        self.registry = CollectorRegistry()
        self.recommend_latency_ms = self._latency("recommend", "bundle_role")
        for role in (*Chosen, NO_BUNDLE):  # At 0 from the start, so that the first one is seen.
            self.recommend_latency_ms.labels(role)
        self.churn_latency_ms = self._latency("churn")
        self.tags_latency_ms = self._latency("tags")
        self.freshness_ms = Histogram(
            "nearline_freshness_ms",
            "Age of the newest event in a recommendation, since Nearline could know it.",
            buckets=_AGE_MS,
            registry=self.registry,
        )
        self.degraded = Counter(
            "nearline_degraded",
            "Answers that missed a part, by answer, by what was missing and by the bundle's role.",
            ("answer", "missing", "bundle_role"),
            registry=self.registry,
        )
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

    def _latency(self, name: str, *labels: str) -> Histogram:
        return Histogram(
            f"nearline_{name}_latency_ms",
            f"Time to answer {name} inside the gateway.",
            labels,
            buckets=_LATENCY_MS,
            registry=self.registry,
        )

    def _gauge(self, name: str, help_: str, read: Callable[[], float]) -> None:
        gauge = Gauge(f"nearline_{name}", help_, registry=self.registry)
        gauge.set_function(read)

    def text(self) -> bytes:
        """The page that Prometheus scrapes."""
        return generate_latest(self.registry)


class MeasuredAnswers:
    """Answers with their latency, freshness and degradations counted."""

    def __init__(self, answers: Answering, metrics: Metrics) -> None:
        self._answers, self._metrics = answers, metrics

    async def recommend(self, query: RecommendQuery) -> Recommendation:
        start = time.perf_counter()
        answered = await self._answers.answered(query)
        answer, role = answered.recommendation, answered.role or NO_BUNDLE
        self._metrics.recommend_latency_ms.labels(role).observe(_ms_since(start))
        self._count("recommend", answer.degraded, role)
        if answer.receipt.features_age_ms is not None and query.as_of_us is None:
            self._metrics.freshness_ms.observe(answer.receipt.features_age_ms)
        return answer

    async def churn(self, customer_id: str, as_of_us: int | None) -> ChurnAnswer:
        start = time.perf_counter()
        answer = await self._answers.churn(customer_id, as_of_us)
        self._metrics.churn_latency_ms.observe(_ms_since(start))
        # The champion alone scores.
        self._count(
            "churn", answer.degraded, Chosen.CHAMPION if answer.versions.bundle else NO_BUNDLE
        )
        return answer

    async def tags(self, customer_id: str, as_of_us: int | None) -> TagsAnswer:
        start = time.perf_counter()
        answer = await self._answers.tags(customer_id, as_of_us)
        self._metrics.tags_latency_ms.observe(_ms_since(start))
        self._count("tags", answer.degraded, NO_BUNDLE)
        return answer

    def _count(self, name: str, degraded: Collection[Degradation], role: str) -> None:
        for missing in degraded:
            self._metrics.degraded.labels(name, missing.value, role).inc()


def _ms_since(start: float) -> float:
    return (time.perf_counter() - start) * 1_000
