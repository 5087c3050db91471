"""Checks the dashboard against the types that Grafana publishes (needs node and npm).

    python infra/grafana/check_types.py

`@grafana/schema` describes dashboards and panels in TypeScript; each part of the file is given to
the compiler as a literal of its type, so that a misspelt option or an unknown value is an error.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FILE = Path(__file__).parent / "dashboards" / "nearline.json"
PACKAGES = ("@grafana/schema@11.6.0", "typescript@5.9.3")
_RAW = "./node_modules/@grafana/schema/dist/esm/raw"
_OPTIONS = {
    "heatmap": f"{_RAW}/composable/heatmap/panelcfg/x/HeatmapPanelCfg_types.gen",
    "stat": f"{_RAW}/composable/stat/panelcfg/x/StatPanelCfg_types.gen",
    "timeseries": f"{_RAW}/composable/timeseries/panelcfg/x/TimeSeriesPanelCfg_types.gen",
}
_TSC = "--noEmit --strict --skipLibCheck --module esnext --moduleResolution bundler --target es2022"


def program(dashboard: dict[str, Any]) -> Iterator[str]:
    """The lines of a TypeScript module that compiles only if the dashboard has the right types."""
    yield f"import {{ Dashboard, Panel, RowPanel }} from '{_RAW}/dashboard/x/dashboard_types.gen';"
    for kind, place in _OPTIONS.items():
        yield f"import {{ Options as {kind} }} from '{place}';"
    yield "import { GraphFieldConfig } from '@grafana/schema';"
    # Enums are written as their texts.
    yield "type Of<T> = T extends object ? { [K in keyof T]: Of<T[K]> }"
    yield "  : T extends string ? `${T}` : T;"
    whole = {name: value for name, value in dashboard.items() if name != "panels"}
    yield f"export const whole: Of<Omit<Dashboard, 'panels'>> = {json.dumps(whole)};"
    for panel in dashboard["panels"]:
        number, kind = panel["id"], panel["type"]
        if kind == "row":
            yield f"export const row{number}: Of<RowPanel> = {json.dumps(panel)};"
            continue
        options = json.dumps(panel["options"])
        rest = {name: value for name, value in panel.items() if name != "options"}
        yield f"export const panel{number}: Of<Panel> = {json.dumps(rest)};"
        yield f"export const options{number}: Of<{kind}> = {options};"
        if kind == "timeseries":
            custom = json.dumps(panel["fieldConfig"]["defaults"]["custom"])
            yield f"export const custom{number}: Of<GraphFieldConfig> = {custom};"


def main() -> int:
    dashboard = json.loads(FILE.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "package.json").write_text("{}")
        (Path(folder) / "check.ts").write_text("\n".join(program(dashboard)), encoding="utf-8")
        install = ["npm", "install", "--silent", "--no-audit", "--no-fund", *PACKAGES]
        subprocess.run(install, cwd=folder, check=True)  # noqa: S603 - constants, no shell
        compile_ = ["npx", "tsc", *_TSC.split(), "check.ts"]
        return subprocess.run(compile_, cwd=folder).returncode  # noqa: S603 - the same


if __name__ == "__main__":
    sys.exit(main())
