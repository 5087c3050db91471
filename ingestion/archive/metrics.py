"""What the history writer tells Prometheus."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram


class ArchiveMetrics:
    """Counters of one history writer."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.events = Counter(
            "nearline_history_events_total", "Events written to history", registry=registry
        )
        self.files = Counter(
            "nearline_history_files_total", "History files written", registry=registry
        )
        self.waiting = Gauge(
            "nearline_history_waiting_events",
            "Events read from the log that wait for their file",
            registry=registry,
        )
        self.unreadable = Counter(
            "nearline_history_unreadable_total",
            "Entries of the log that could not be decoded and were left out",
            registry=registry,
        )
        self.trimmed = Counter(
            "nearline_history_trimmed_total",
            "Events removed from the log after they were archived, applied and old enough",
            registry=registry,
        )
        self.merged = Counter(
            "nearline_history_merged_files_total",
            "Small files of closed days that were merged into larger ones",
            registry=registry,
        )
        self.write_seconds = Histogram(
            "nearline_history_write_seconds",
            "Writing one file, until it lies on disk under its name",
            registry=registry,
        )
