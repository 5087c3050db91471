"""Prometheus metrics of the collector. Event counts come from the log, which keeps the law."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_BUCKETS_S = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
_OUTCOMES = {  # The verdict's word -> the log's counter.
    "accepted": "stored",
    "duplicate": "duplicate",
    "rejected": "rejected",
    "consent_refused": "consent_refused",
}


class Metrics:
    """One registry for both doors."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._duration = Histogram(
            "nearline_collector_request_seconds",
            "Time from the first byte of a request to its answer.",
            ("transport", "call", "status"),
            buckets=_BUCKETS_S,
            registry=self.registry,
        )

    def observe(self, transport: str, call: str, status: str, seconds: float) -> None:
        """Count one request. `call` must be one of a few known names, never a raw path."""
        self._duration.labels(transport, call, status).observe(seconds)

    def page(self, counts: Mapping[str, int] | None, dead_letters: int | None) -> bytes:
        """The text page; the event counts are left out while the log cannot be reached."""
        log = _LogMetrics(counts, dead_letters)
        once = CollectorRegistry()
        once.register(log)
        return generate_latest(self.registry) + generate_latest(once)


class _LogMetrics:
    def __init__(self, counts: Mapping[str, int] | None, dead_letters: int | None) -> None:
        self._counts, self._dead_letters = counts, dead_letters

    def describe(self) -> list[Metric]:
        return []

    def collect(self) -> Iterator[Metric]:
        up = GaugeMetricFamily("nearline_event_log_up", "1 while the event log answers.")
        up.add_metric([], float(self._counts is not None))
        yield up
        if self._counts is None:
            return
        yield CounterMetricFamily(
            "nearline_events_received",
            "Events received; equals the sum of nearline_events_total over its outcomes.",
            value=self._counts["received"],
        )
        outcomes = CounterMetricFamily(
            "nearline_events", "What became of the events received.", labels=["outcome"]
        )
        for outcome, counter in _OUTCOMES.items():
            outcomes.add_metric([outcome], self._counts[counter])
        yield outcomes
        letters = GaugeMetricFamily(
            "nearline_dead_letters", "Rejected events that wait for `nearline dead-letters`."
        )
        letters.add_metric([], float(self._dead_letters or 0))
        yield letters
