"""What a panel is, and the expressions that panels are made of (PromQL)."""

from __future__ import annotations

from dataclasses import dataclass

_WINDOW = "$__rate_interval"  # Grafana's own: wide enough for the scrapes, as wide as the screen.


@dataclass(frozen=True, slots=True)
class Query:
    """One expression and what its lines are called (`{{label}}` is replaced by Grafana)."""

    expr: str
    legend: str


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel. `fault_above` is where a value turns red; `width` is of 24 columns."""

    title: str
    why: str
    queries: tuple[Query, ...]
    unit: str = "short"
    kind: str = "timeseries"  # or heatmap, stat
    width: int = 8
    fault_above: float | None = None


def rate(metric: str, by: str = "") -> str:
    """What a counter grows by in a second."""
    return f"sum{f' by ({by})' if by else ''} (rate({metric}[{_WINDOW}]))"


def quantile(share: float, metric: str, by: str = "") -> str:
    """A quantile of a histogram."""
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({share}, sum by ({labels}) (rate({metric}_bucket[{_WINDOW}])))"


def spread(metric: str, by: str = "", shares: tuple[float, ...] = (0.5, 0.99)) -> tuple[Query, ...]:
    """The quantiles of a histogram, a line each."""
    name = f"{{{{{by}}}}} " if by else ""
    return tuple(Query(quantile(one, metric, by), f"{name}p{one * 100:g}") for one in shares)


def heatmap(title: str, why: str, metric: str, unit: str, width: int) -> Panel:
    """A histogram over time."""
    expr = f"sum by (le) (increase({metric}_bucket[{_WINDOW}]))"
    return Panel(title, why, (Query(expr, "{{le}}"),), unit, "heatmap", width)
