"""The figures of one run as values; pure. How they are told: `page`, `view`."""

from __future__ import annotations

from dataclasses import dataclass

from nearline.bench.machine import Machine
from nearline.bench.stats import Summary, ratio


@dataclass(frozen=True, slots=True)
class Latency:
    """Times in ms of one kind of call. `floor` is the key of the row to compare with.

    `refused` and `failed` calls are not among the times. `asking` is the share of one core that
    the load generator took, None where the bench itself called; `late_p99_ms` how late it asked.
    """

    key: str
    title_en: str
    title_zh: str
    measured: Summary
    floor: str | None = None
    refused: int = 0
    failed: int = 0
    asking: float | None = None
    late_p99_ms: float = 0.0

    @property
    def is_floor(self) -> bool:
        return self.key.startswith("floor")


@dataclass(frozen=True, slots=True)
class Rate:
    """Events or answers a second. `floor` is the key of the row to compare with."""

    key: str
    title_en: str
    title_zh: str
    per_s: float
    floor: str | None = None
    unit: str = "events/s"

    @property
    def is_floor(self) -> bool:
        return self.key.startswith("floor")


@dataclass(frozen=True, slots=True)
class Figures:
    """What one run measured.

    `missed` events did not reach an answer in time, of those followed to a list (`trials`)
    and to a tag (as many again). `remarks` say what was measured otherwise than the titles say.
    """

    latencies: tuple[Latency, ...]
    rates: tuple[Rate, ...]
    bundle: str  # registry version that answered, empty where none did
    degraded: tuple[str, ...]  # reasons given by the answers that were looked at
    trials: int
    missed: int
    changed: int  # lists that differed after the event
    remarks: tuple[str, ...] = ()

    def latency(self, key: str) -> Latency | None:
        """The row of that key, None where it was not measured."""
        return next((latency for latency in self.latencies if latency.key == key), None)

    def ratios(self, latency: Latency) -> tuple[float, float] | None:
        """How many times its floor a latency is, at p50 and at p99; None for a floor."""
        other = self.latency(latency.floor or "")
        if other is None:
            return None
        p50 = ratio(latency.measured.p50, other.measured.p50)
        p99 = ratio(latency.measured.p99, other.measured.p99)
        return None if p50 is None or p99 is None else (p50, p99)

    def share(self, rate: Rate) -> float | None:
        """Which share of its floor a rate reaches; None for a floor."""
        for other in self.rates:
            if other.key == rate.floor:
                return ratio(rate.per_s, other.per_s)
        return None


@dataclass(frozen=True, slots=True)
class Report:
    """The figures, and all that is needed to judge and to repeat them."""

    date: str  # RFC 3339, UTC
    command: str
    version: str
    seed: int
    machine: Machine
    load_after: float  # processes that wanted a core when it was over
    figures: Figures
