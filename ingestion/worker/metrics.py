"""What the stream worker tells Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_LAG_BUCKETS_MS = (1, 2, 3, 5, 8, 12, 20, 35, 60, 100, 200, 500, 1_000, 3_000, 10_000, 60_000)


class WorkerMetrics:
    """Counters of one worker. They name partitions, never customers."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.lag_ms = Histogram(
            "nearline_stream_lag_ms",
            "From an event being known to its features being committed, in milliseconds",
            buckets=_LAG_BUCKETS_MS,
            registry=registry,
        )
        self.events = Counter(
            "nearline_stream_events_total", "Events read from the log", registry=registry
        )
        self.rows = Counter(
            "nearline_stream_rows_total", "Feature rows committed", registry=registry
        )
        self.conflicts = Counter(
            "nearline_stream_conflicts_total",
            "Commits that found the row changed since it was read, and were done again",
            registry=registry,
        )
        self.duplicates = Counter(
            "nearline_stream_duplicates_total",
            "Rows that already held all events of a page",
            registry=registry,
        )
        self.unreadable = Counter(
            "nearline_stream_unreadable_total",
            "Entries of the log that could not be decoded and were passed over",
            registry=registry,
        )
        self.partition_lag_ms = Gauge(
            "nearline_stream_partition_lag_ms",
            "Age of the oldest event waiting on the log when it was last read; 0 when none was",
            ["partition"],
            registry=registry,
        )
        self.held = Gauge(
            "nearline_stream_partitions_held",
            "Partitions that this worker works on; 0 while it waits for another worker",
            registry=registry,
        )
