"""What operators watch, in Prometheus' format. No metric carries a customer."""

from __future__ import annotations

import time
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from nearline.contracts.answer import ChurnAnswer, Recommendation, RecommendQuery, TagsAnswer
from serving.answers import Answers
from serving.exposures import Exposures
from serving.served_log import ServedLog

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_LATENCY_MS = (1, 2, 5, 10, 15, 20, 30, 50, 75, 100, 150, 200, 300, 500, 1_000, 3_000)
_AGE_MS = (10, 50, 100, 300, 1_000, 3_000, 10_000, 60_000, 3_600_000, 86_400_000)


class Metrics:
    """One registry of one gateway replica."""

    def __init__(self, exposures: Exposures, served: ServedLog | None = None) -> None:
        self.registry = CollectorRegistry()
        self.latency_ms = {
            name: Histogram(
                f"nearline_{name}_latency_ms",
                f"Time to answer {name} inside the gateway.",
                buckets=_LATENCY_MS,
                registry=self.registry,
            )
            for name in ("recommend", "churn", "tags")
        }
        self.freshness_ms = Histogram(
            "nearline_freshness_ms",
            "Age of the newest event in a recommendation, since Nearline could know it.",
            buckets=_AGE_MS,
            registry=self.registry,
        )
        self.degraded = Counter(
            "nearline_degraded",
            "Answers that missed a part, by answer and by what was missing.",
            ("answer", "missing"),
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

    def _gauge(self, name: str, help_: str, read: Callable[[], float]) -> None:
        gauge = Gauge(f"nearline_{name}", help_, registry=self.registry)
        gauge.set_function(read)

    def text(self) -> bytes:
        """The page that Prometheus scrapes."""
        return generate_latest(self.registry)


class MeasuredAnswers:
    """Answers with their latency, freshness and degradations counted."""

    def __init__(self, answers: Answers, metrics: Metrics) -> None:
        self._answers, self._metrics = answers, metrics

    async def recommend(self, query: RecommendQuery) -> Recommendation:
        start = time.perf_counter()
        answer = await self._answers.recommend(query)
        self._count("recommend", start, answer)
        if answer.receipt.features_age_ms is not None and query.as_of_us is None:
            self._metrics.freshness_ms.observe(answer.receipt.features_age_ms)
        return answer

    async def churn(self, customer_id: str, as_of_us: int | None) -> ChurnAnswer:
        start = time.perf_counter()
        answer = await self._answers.churn(customer_id, as_of_us)
        self._count("churn", start, answer)
        return answer

    async def tags(self, customer_id: str, as_of_us: int | None) -> TagsAnswer:
        start = time.perf_counter()
        answer = await self._answers.tags(customer_id, as_of_us)
        self._count("tags", start, answer)
        return answer

    def _count(
        self, name: str, start: float, answer: Recommendation | ChurnAnswer | TagsAnswer
    ) -> None:
        self._metrics.latency_ms[name].observe((time.perf_counter() - start) * 1_000)
        for missing in answer.degraded:
            self._metrics.degraded.labels(name, missing.value).inc()
