"""The Grafana dashboard, written from the table of panels in `rows.py`.

    python infra/grafana/build.py    # writes dashboards/nearline.json

Grafana's JSON is long and says the same for each panel; what differs stands in the table. A test
holds the file against it, and the table against the metrics that the code emits.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from panel import Panel
from rows import ROWS

FILE = Path(__file__).parent / "dashboards" / "nearline.json"
DATASOURCE = {"type": "prometheus", "uid": "nearline"}  # provisioning/datasources
_COLUMNS = 24  # Of Grafana's grid.
_HEIGHT = 8
_FAULT, _FINE = "red", "green"


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
