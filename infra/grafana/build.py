"""The Grafana dashboard, written from the table of panels below.

    python infra/grafana/build.py    # writes dashboards/nearline.json

Grafana's JSON is long and says the same for each panel; what differs stands here. A test holds
the file against this table, and the table against the metrics that the code emits.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE = Path(__file__).parent / "dashboards" / "nearline.json"
DATASOURCE = {"type": "prometheus", "uid": "nearline"}  # provisioning/datasources
_COLUMNS = 24  # Of Grafana's grid.
_HEIGHT = 8
_WINDOW = "$__rate_interval"  # Grafana's own: wide enough for the scrapes, as wide as the screen.
_FAULT, _FINE = "red", "green"


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


ROWS: tuple[tuple[str, tuple[Panel, ...]], ...] = (
    (
        "Freshness 新鲜度",
        (
            heatmap(
                "Age of the newest event in each recommendation 推荐所见最新事件的年龄",
                "Since Nearline could know the event. 自 Nearline 获知该事件起。",
                "nearline_freshness_ms",
                "ms",
                16,
            ),
            Panel(
                "Freshness p50, p99 新鲜度 p50、p99",
                "",
                spread("nearline_freshness_ms"),
                "ms",
                fault_above=3_000,
            ),
        ),
    ),
    (
        "Answers 应答",
        (
            Panel(
                "Answers a second 每秒应答",
                "By the role of the bundle that answered. 按应答的模型包角色。",
                (
                    Query(
                        rate("nearline_recommend_latency_ms_count", "bundle_role"),
                        "recommend {{bundle_role}}",
                    ),
                    Query(rate("nearline_scores_latency_ms_count"), "scores"),
                    Query(rate("nearline_churn_latency_ms_count"), "churn"),
                    Query(rate("nearline_tags_latency_ms_count"), "tags"),
                ),
                "reqps",
            ),
            Panel(
                "Time to recommend, inside 推荐耗时（服务内）",
                "The deadline is 150 ms. 时限为 150 毫秒。",
                spread("nearline_recommend_latency_ms", "bundle_role"),
                "ms",
                fault_above=150,
            ),
            Panel(
                "Scores and tags, p99 评分与标签 p99",
                "",
                (
                    Query(quantile(0.99, "nearline_scores_latency_ms"), "scores"),
                    Query(quantile(0.99, "nearline_churn_latency_ms"), "churn"),
                    Query(quantile(0.99, "nearline_tags_latency_ms"), "tags"),
                ),
                "ms",
            ),
            heatmap(
                "Time to recommend 推荐耗时分布",
                "All roles. 所有角色。",
                "nearline_recommend_latency_ms",
                "ms",
                8,
            ),
            Panel(
                "Stages, p99 各阶段 p99",
                "Where the time of an answer goes. 应答时间花在哪里。",
                spread("nearline_stage_latency_ms", "stage", (0.99,)),
                "ms",
            ),
            Panel(
                "Refused since overloaded 因过载拒绝（429）",
                "",
                (Query(rate("nearline_overloaded_total"), "429"),),
                "reqps",
                fault_above=0,
            ),
        ),
    ),
    (
        "Degradation and rules 降级与规则",
        (
            Panel(
                "Degraded answers a second 每秒降级应答",
                "By what was missing; the names stand in docs/clients.md. 按缺少的部分。",
                (
                    Query(
                        rate("nearline_degraded_total", "answer, missing"), "{{answer}} {{missing}}"
                    ),
                ),
                "reqps",
                width=12,
            ),
            Panel(
                "Degraded, by bundle 降级（按模型包角色）",
                "",
                (Query(rate("nearline_degraded_total", "bundle_role"), "{{bundle_role}}"),),
                "reqps",
                width=6,
            ),
            Panel(
                "Rules broken 违反规则",
                "Since the gateway started; must stay at 0. 自网关启动起，必须为 0。",
                (
                    Query(
                        "sum by (rule) (nearline_rule_violations_total) or on() vector(0)",
                        "broken 违反 {{rule}}",
                    ),
                ),
                kind="stat",
                width=6,
                fault_above=0,
            ),
        ),
    ),
    (
        "Events 事件",
        (
            Panel(
                "Events a second, by outcome 每秒事件（按受理结果）",
                "",
                (Query(rate("nearline_events_total", "outcome"), "{{outcome}}"),),
                "cps",
            ),
            Panel(
                "Collector, p99 by call 采集器 p99（按调用）",
                "",
                spread("nearline_collector_request_seconds", "call", (0.99,)),
                "s",
            ),
            Panel(
                "Dead letters 死信",
                "Rejected events that wait for a person. 等待处理的被拒事件。",
                (Query("sum(nearline_dead_letters)", "dead letters 死信"),),
                kind="stat",
                width=4,
                fault_above=0,
            ),
            Panel(
                "Event log 事件日志",
                "1 while the collector reaches it. 采集器能连上时为 1。",
                (Query("min(nearline_event_log_up)", "up 正常"),),
                kind="stat",
                width=4,
            ),
        ),
    ),
    (
        "Lag 延迟",
        (
            Panel(
                "Stream worker: event to feature 流处理：事件到特征",
                "",
                spread("nearline_stream_lag_ms"),
                "ms",
                fault_above=1_000,
            ),
            Panel(
                "Behind the log, by partition 落后日志（按分区）",
                "",
                (
                    Query(
                        "max by (partition) (nearline_stream_partition_lag_ms)",
                        "partition 分区 {{partition}}",
                    ),
                ),
                "ms",
                fault_above=1_000,
            ),
            Panel(
                "Since items in memory followed the log 内存商品距上次跟进日志",
                "Of the replica that is furthest behind. 最落后的副本。",
                (Query("max(nearline_item_lag_ms)", "items 商品"),),
                "ms",
                fault_above=1_000,
            ),
            Panel(
                "Worked on and archived 处理与归档",
                "",
                (
                    Query(rate("nearline_stream_events_total"), "worker 流处理"),
                    Query(rate("nearline_history_events_total"), "history 历史"),
                ),
                "cps",
            ),
            Panel(
                "Waiting 等待中",
                "Events for their file, exposures for the log. 待写文件的事件，待写日志的曝光。",
                (
                    Query("sum(nearline_history_waiting_events)", "events 事件"),
                    Query("sum(nearline_exposures_waiting)", "exposures 曝光"),
                ),
            ),
            Panel(
                "Lost, unreadable, done again 丢失、无法读取、重做",
                "Exposures and vectors lost since the start; the others a second. "
                "曝光与向量为启动以来的丢失数，其余为每秒。",
                (
                    Query("sum(nearline_exposures_lost)", "exposures lost 丢失曝光"),
                    Query("sum(nearline_served_dropped)", "vectors dropped 丢弃向量"),
                    Query(rate("nearline_stream_unreadable_total"), "unreadable 无法读取"),
                    Query(rate("nearline_stream_conflicts_total"), "conflicts 冲突"),
                ),
            ),
        ),
    ),
    (
        "Parts 部件",
        (
            Panel(
                "Which parts answer 部件是否应答",
                "",
                (Query('up{job=~"nearline-.*"}', "{{job}} {{instance}}"),),
                kind="stat",
                width=16,
            ),
            Panel(
                "Partitions held 处理中的分区",
                "0 means that nobody works. 为 0 表示没有流处理在工作。",
                (Query("sum(nearline_stream_partitions_held)", "partitions 分区"),),
                kind="stat",
                width=8,
            ),
        ),
    ),
)


def dashboard() -> dict[str, Any]:
    """The whole document (Grafana 11)."""
    return {
        "uid": "nearline",
        "title": "Nearline",
        "tags": ["nearline"],
        "schemaVersion": 39,
        "editable": False,
        "graphTooltip": 1,  # One crosshair for all panels.
        "refresh": "10s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "panels": list(_panels()),
    }


def _panels() -> Iterator[dict[str, Any]]:
    number = top = 0
    for title, panels in ROWS:
        number += 1
        grid = {"h": 1, "w": _COLUMNS, "x": 0, "y": top}
        yield {
            "id": number,
            "type": "row",
            "title": title,
            "collapsed": False,
            "gridPos": grid,
            "panels": [],
        }
        top, left = top + 1, 0
        for panel in panels:
            number += 1
            if left + panel.width > _COLUMNS:
                top, left = top + _HEIGHT, 0
            grid = {"h": _HEIGHT, "w": panel.width, "x": left, "y": top}
            left += panel.width
            yield {"id": number, "gridPos": grid, **_panel(panel)}
        top += _HEIGHT


def _panel(panel: Panel) -> dict[str, Any]:
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.why,
        "datasource": DATASOURCE,
        "targets": [_target(panel, place) for place in range(len(panel.queries))],
        "fieldConfig": {"defaults": _defaults(panel), "overrides": []},
        "options": _OPTIONS[panel.kind] | _axis(panel),
    }


def _target(panel: Panel, place: int) -> dict[str, Any]:
    query = panel.queries[place]
    return {
        "refId": chr(ord("A") + place),
        "datasource": DATASOURCE,
        "editorMode": "code",
        "expr": query.expr,
        "format": "heatmap" if panel.kind == "heatmap" else "time_series",
        "instant": panel.kind == "stat",
        "range": panel.kind != "stat",
        "legendFormat": query.legend,
    }


def _defaults(panel: Panel) -> dict[str, Any]:
    if panel.kind == "heatmap":
        return {"custom": {"scaleDistribution": {"type": "linear"}}}
    steps: list[dict[str, Any]] = [{"color": _FINE, "value": None}]
    if panel.fault_above is not None:
        # A step begins at its value; above 0 means from the least that is more.
        steps.append({"color": _FAULT, "value": panel.fault_above or 1e-9})
    defaults: dict[str, Any] = {
        "unit": panel.unit,
        "min": 0,
        "thresholds": {"mode": "absolute", "steps": steps},
    }
    if panel.kind == "timeseries":
        lines = "dashed" if panel.fault_above else "off"
        defaults["custom"] = {"lineWidth": 1, "thresholdsStyle": {"mode": lines}}
    else:
        defaults["noValue"] = "0"
    return defaults


def _axis(panel: Panel) -> dict[str, Any]:
    return {"yAxis": {"unit": panel.unit}} if panel.kind == "heatmap" else {}


_OPTIONS: dict[str, dict[str, Any]] = {
    "timeseries": {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
        "tooltip": {"mode": "multi", "sort": "desc"},
    },
    "heatmap": {
        "calculate": False,
        "rowsFrame": {"layout": "le"},  # A row is named by its bucket's upper bound.
        "cellGap": 1,
        "color": {
            "mode": "scheme",
            "scheme": "Viridis",
            "scale": "exponential",
            "exponent": 0.5,
            "steps": 64,
            "fill": "dark-orange",
            "reverse": False,
        },
        "filterValues": {"le": 1e-9},
        "legend": {"show": True},
        "exemplars": {"color": "rgba(255,0,255,0.7)"},
        "tooltip": {"mode": "single", "yHistogram": True},
        "showValue": "never",
    },
    "stat": {
        "colorMode": "value",
        "graphMode": "none",
        "justifyMode": "auto",
        "orientation": "auto",
        "textMode": "value_and_name",
        "wideLayout": True,
        "showPercentChange": False,
        "percentChangeColorMode": "standard",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
    },
}


def text() -> str:
    """The file as it is written."""
    return json.dumps(dashboard(), ensure_ascii=False, indent=1) + "\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
