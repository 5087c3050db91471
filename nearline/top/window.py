"""Two scrapes of a metrics page, and what happened between them. Pure.

Counters that start anew are read as `rate` of Prometheus reads them, quantiles as
`histogram_quantile` does, so that this view and a dashboard over the same metrics agree.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from prometheus_client.parser import text_string_to_metric_families

Labels = tuple[tuple[str, str], ...]  # Sorted by name.
Samples = Mapping[str, Mapping[Labels, float]]


def parse(page: str) -> Samples:
    """The samples of a page by name and labels; raises ValueError for what is no such page."""
    found: dict[str, dict[Labels, float]] = {}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            labels = tuple(sorted(sample.labels.items()))
            found.setdefault(sample.name, {})[labels] = float(sample.value)
    return found


@dataclass(frozen=True, slots=True)
class Histogram:
    """Cumulative counts up to each bound; the last bound is infinite."""

    bounds: tuple[float, ...] = ()
    counts: tuple[float, ...] = ()

    @property
    def count(self) -> float:
        return self.counts[-1] if self.counts else 0.0

    def quantile(self, share: float) -> float | None:
        """The quantile, interpolated within its bucket as `histogram_quantile` does.

        None where nothing was observed. What lies beyond the last finite bound is told as that
        bound: more is not known. `share` is in [0, 1].
        """
        if self.count <= 0 or len(self.bounds) < 2:
            return None
        rank = share * self.count
        place = next((i for i, count in enumerate(self.counts[:-1]) if count >= rank), None)
        if place is None:
            return self.bounds[-2]
        low = self.bounds[place - 1] if place else min(0.0, self.bounds[0])
        below = self.counts[place - 1] if place else 0.0
        within = self.counts[place] - below
        return low + (self.bounds[place] - low) * ((rank - below) / within if within else 0.0)

    def shares(self) -> tuple[tuple[float, float], ...]:
        """For each bound, the share of observations in the bucket that ends there."""
        if self.count <= 0:
            return ()
        before = (0.0, *self.counts)
        each = zip(self.bounds, self.counts, before, strict=False)
        return tuple((bound, (count - less) / self.count) for bound, count, less in each)


@dataclass(frozen=True, slots=True)
class Window:
    """What one page counted between two scrapes, `seconds` apart (more than 0)."""

    before: Samples
    after: Samples
    seconds: float

    def increase(self, name: str) -> dict[Labels, float]:
        """By how much each series of a counter grew; one that fell was started anew from 0."""
        old = self.before.get(name, {})
        grown: dict[Labels, float] = {}
        for labels, value in self.after.get(name, {}).items():
            since = old.get(labels, 0.0)
            grown[labels] = value - since if value >= since else value
        return grown

    def per_s(self, name: str, by: str = "", **where: str) -> dict[str, float]:
        """The rate of a counter by the values of one label; without one, under the key ""."""
        grown = _summed(self.increase(name), lambda labels: labels.get(by, ""), where)
        return {key: value / self.seconds for key, value in grown.items()}

    def now(self, name: str, by: str = "", **where: str) -> dict[str, float]:
        """What a gauge or a counter stands at, summed by the values of one label."""
        return _summed(self.after.get(name, {}), lambda labels: labels.get(by, ""), where)

    def histogram(self, name: str, **where: str) -> Histogram:
        """What was observed in the window, over all series with these labels."""
        counts = _summed(self.increase(f"{name}_bucket"), lambda labels: labels["le"], where)
        buckets = sorted((float(le), count) for le, count in counts.items())
        if not buckets or not math.isinf(buckets[-1][0]):
            return Histogram()
        # Series that are scraped while they change may not be quite cumulative.
        highest, monotone = 0.0, []
        for _, count in buckets:
            highest = max(highest, count)
            monotone.append(highest)
        return Histogram(tuple(bound for bound, _ in buckets), tuple(monotone))


def _summed(
    series: Mapping[Labels, float],
    key: Callable[[Mapping[str, str]], str],
    where: Mapping[str, str],
) -> dict[str, float]:
    found: dict[str, float] = {}
    for pairs, value in series.items():
        labels = dict(pairs)
        if all(labels.get(name) == wanted for name, wanted in where.items()):
            found[key(labels)] = found.get(key(labels), 0.0) + value
    return found
