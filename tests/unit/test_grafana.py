"""The dashboard against the code that it speaks of, and against Prometheus' own engine."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from tests.unit.test_infra import BUILT_IN, INFRA, PROMETHEUS, emitted, read, services

GRAFANA = INFRA / "grafana"
FILE = GRAFANA / "dashboards" / "nearline.json"
# Grafana's identifiers of units; an unknown one is shown as bare text.
UNITS = {"ms", "s", "short", "reqps", "cps"}


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """build.py, which lies beside what it writes; its neighbours are found as when it is run."""
    monkeypatch.syspath_prepend(str(GRAFANA))
    spec = importlib.util.spec_from_file_location("nearline_grafana", GRAFANA / "build.py")
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    yield made
    for name in ("panel", "rows"):
        del sys.modules[name]


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return found


def panels() -> list[dict[str, Any]]:
    return [panel for panel in dashboard()["panels"] if panel["type"] != "row"]


def queries() -> Iterator[tuple[str, dict[str, Any]]]:
    for panel in panels():
        for target in panel["targets"]:
            yield panel["title"], target


def labels_of(expr: str) -> set[str]:
    """The labels that an expression groups by."""
    grouped = re.findall(r"\bby \(([^)]*)\)", expr)
    return {label.strip() for labels in grouped for label in labels.split(",")}


def test_the_file_is_what_the_table_says(module: ModuleType) -> None:
    assert FILE.read_text(encoding="utf-8") == module.text(), "python infra/grafana/build.py"


def test_freshness_comes_first_as_a_histogram_over_time() -> None:
    first = panels()[0]

    assert first["type"] == "heatmap"
    assert "nearline_freshness_ms_bucket" in first["targets"][0]["expr"]
    assert first["gridPos"]["y"] <= 1


def test_every_query_asks_for_metrics_and_labels_that_the_code_emits() -> None:
    known = emitted() | {name: {"job", "instance"} for name in BUILT_IN}
    for title, target in queries():
        expr = target["expr"]
        named = re.findall(r"\b(nearline_\w+|up)\b(?:\{([^}]*)\})?", expr)
        assert named, title
        for metric, selector in named:
            assert metric in known, f"{title}: nothing emits {metric}"
            selected = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector))
            assert selected | labels_of(expr) <= known[metric], f"{title}: {metric} lacks a label"


def test_every_line_is_called_by_a_label_that_its_query_keeps() -> None:
    for title, target in queries():
        called = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
        kept = labels_of(target["expr"]) - ({"le"} if "quantile" in target["expr"] else set())
        if "sum" not in target["expr"] and "max" not in target["expr"]:
            kept |= {"job", "instance"}  # Not aggregated: all labels are there.
        assert called <= kept, title
        assert target["legendFormat"], title


def test_every_metric_that_the_code_emits_is_seen_somewhere() -> None:
    shown = " ".join(target["expr"] for _, target in queries())
    families = {
        re.sub(r"_(total|bucket|count|sum|created)$", "", name)
        for name in emitted()
        if not name.endswith("_created")
    }
    unseen = {name for name in families if name not in shown}

    # Of no use as a line of time, or on the board in another form.
    assert unseen == {
        "nearline_events_received",  # the sum of the outcomes
        "nearline_served_written",
        "nearline_stream_rows",
        "nearline_stream_duplicates",
        "nearline_history_files",
        "nearline_history_unreadable",
        "nearline_history_trimmed",
        "nearline_history_merged_files",
        "nearline_history_write_seconds",
    }


def test_panels_have_numbers_of_their_own_and_do_not_cover_each_other() -> None:
    taken: dict[tuple[int, int], str] = {}
    numbers = [panel["id"] for panel in dashboard()["panels"]]
    assert len(set(numbers)) == len(numbers)
    for panel in dashboard()["panels"]:
        grid = panel["gridPos"]
        assert grid["x"] >= 0
        assert grid["x"] + grid["w"] <= 24
        for x in range(grid["x"], grid["x"] + grid["w"]):
            for y in range(grid["y"], grid["y"] + grid["h"]):
                assert (x, y) not in taken, f"{panel['title']} covers {taken[x, y]}"
                taken[x, y] = panel["title"]


def test_every_title_stands_in_both_languages() -> None:
    for panel in dashboard()["panels"]:
        for text in (panel["title"], panel.get("description") or panel["title"]):
            assert re.search(r"[A-Za-z]{3}", text), text
            assert re.search(r"[\u4e00-\u9fff]", text), text


def test_units_and_references_are_ones_that_grafana_knows() -> None:
    source = read(GRAFANA / "provisioning" / "datasources" / "nearline.yaml")["datasources"][0]
    for panel in panels():
        assert panel["datasource"] == {"type": source["type"], "uid": source["uid"]}
        references = [target["refId"] for target in panel["targets"]]
        assert len(set(references)) == len(references)
        unit = panel["fieldConfig"]["defaults"].get("unit") or panel["options"]["yAxis"]["unit"]
        assert unit in UNITS, panel["title"]


def test_the_containers_bring_grafana_what_it_reads() -> None:
    grafana = services()["grafana"]
    inside = dict(volume.split(":")[:2][::-1] for volume in grafana["volumes"])
    provider = read(GRAFANA / "provisioning" / "dashboards" / "nearline.yaml")["providers"][0]
    source = read(GRAFANA / "provisioning" / "datasources" / "nearline.yaml")["datasources"][0]

    assert INFRA / inside[provider["options"]["path"]] == INFRA / "./grafana/dashboards"
    assert inside["/etc/grafana/provisioning"] == "./grafana/provisioning"
    home = grafana["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"]
    assert home == f"{provider['options']['path']}/{FILE.name}"
    host, port = re.fullmatch(r"http://(\w+):(\d+)", source["url"]).groups()  # type: ignore[union-attr]
    assert services()[host]["ports"] == [f"127.0.0.1:{port}:{port}"]
    interval = read(PROMETHEUS / "compose.yml")["global"]["scrape_interval"]
    assert source["jsonData"]["timeInterval"] == interval


def test_nobody_may_change_a_dashboard_that_anybody_may_see() -> None:
    environment = services()["grafana"]["environment"]

    assert environment["GF_AUTH_ANONYMOUS_ORG_ROLE"] == "Viewer"
    assert environment["GF_SECURITY_DISABLE_INITIAL_ADMIN_CREATION"] == "true"
    assert all(port.startswith("127.0.0.1:") for port in services()["grafana"]["ports"])


def series() -> Iterator[dict[str, str]]:
    """Every series as the code emits it, growing evenly, with one value for each label."""
    for name, labels in emitted().items():
        for bound in ("1", "+Inf") if "le" in labels else ("",):
            values = {label: bound if label == "le" else "x" for label in sorted(labels)}
            selector = ", ".join(f'{label}="{value}"' for label, value in values.items())
            yield {"series": f"{name}{{{selector}}}", "values": "0+1x60"}
    yield {"series": 'up{job="nearline-worker", instance="w"}', "values": "1x60"}


def test_every_query_gives_a_line_where_the_code_emits_its_metrics(tmp_path: Path) -> None:
    """Each expression, asked of Prometheus' own engine over all series that the parts emit."""
    if shutil.which("promtool") is None:
        pytest.skip("NOT CHECKED: no promtool here (Debian: apt-get install prometheus)")
    asked = [target["expr"].replace("$__rate_interval", "1m") for _, target in queries()]
    tests = [
        {
            "interval": "5s",
            "input_series": list(series()),
            "promql_expr_test": [
                # Only what is a number is a line: a quantile of nothing would be NaN.
                {
                    "expr": f"count(({expr}) >= 0) > bool 0",
                    "eval_time": "4m",
                    "exp_samples": [{"labels": "{}", "value": 1}],
                }
                for expr in asked
            ],
        }
    ]
    file = tmp_path / "tests.yml"
    file.write_text(yaml.safe_dump({"tests": tests}))

    done = subprocess.run(
        ["promtool", "test", "rules", str(file)], capture_output=True, text=True, timeout=60
    )

    assert done.returncode == 0, done.stdout + done.stderr
