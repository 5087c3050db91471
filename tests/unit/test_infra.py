"""Infrastructure files against the code that they speak of: metrics, commands, ports, paths."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import fields
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from nearline.settings import Settings

ROOT = Path(__file__).parents[2]
INFRA = ROOT / "infra"
PROMETHEUS = INFRA / "prometheus"
DEFAULTS = Settings()
# Prometheus itself makes these.
BUILT_IN = {"up"}


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def alerts() -> Iterator[dict[str, Any]]:
    for group in read(PROMETHEUS / "alerts.yml")["groups"]:
        yield from group["rules"]


def registries() -> tuple[CollectorRegistry, CollectorRegistry]:
    """What worker and history writer, and the gateway, emit."""
    from ingestion.archive.metrics import ArchiveMetrics
    from ingestion.worker.metrics import WorkerMetrics
    from serving.exposures import Exposures
    from serving.metrics import Metrics as GatewayMetrics
    from serving.served_log import ServedLog

    registry = CollectorRegistry()
    WorkerMetrics(registry)
    ArchiveMetrics(registry)

    async def nowhere(*_: object) -> list[Any]:
        return []

    return registry, GatewayMetrics(Exposures(nowhere), ServedLog(nowhere, share=1.0)).registry


def collectors_page() -> bytes:
    from ingestion.collector.metrics import Metrics as CollectorMetrics

    counts = dict.fromkeys(("received", "stored", "duplicate", "rejected", "consent_refused"), 1)
    metrics = CollectorMetrics()
    metrics.observe("http", "batch", "200", 0.01)
    return metrics.page(counts, dead_letters=0)


def emitted() -> dict[str, set[str]]:
    """Every metric that the parts emit, with its label names; counters with their `_total`."""
    found: dict[str, set[str]] = {}
    for held in registries():
        for collector, names in held._collector_to_names.items():
            labels = set(getattr(collector, "_labelnames", ()))
            for name in names:
                found[name] = labels | ({"le"} if name.endswith("_bucket") else set())
    for family in text_string_to_metric_families(collectors_page().decode()):
        for sample in family.samples:
            found[sample.name] = set(sample.labels)
    return found


def test_every_alert_asks_for_metrics_and_labels_that_the_code_emits() -> None:
    known = emitted()
    for alert in alerts():
        named = re.findall(r"\b(nearline_\w+|up)\b(?:\{([^}]*)\})?", alert["expr"])
        assert named, alert["alert"]
        for metric, selector in named:
            if metric in BUILT_IN:
                continue
            assert metric in known, f"{alert['alert']}: nothing emits {metric}"
            labels = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector))
            assert labels <= known[metric], f"{alert['alert']}: {metric} has no {labels}"
        of_any = set().union(*(known.get(metric, set()) for metric, _ in named))
        for labels in re.findall(r"\bby \(([^)]*)\)", alert["expr"]):
            assert {label.strip() for label in labels.split(",")} <= of_any, alert["alert"]


def test_the_alerts_are_tested_on_series_as_the_code_emits_them() -> None:
    known = emitted()
    for test in read(PROMETHEUS / "alerts_test.yml")["tests"]:
        for given in test["input_series"]:
            metric, _, selector = given["series"].partition("{")
            if metric not in BUILT_IN:
                assert set(re.findall(r"(\w+)=", selector)) == known[metric], given["series"]


def test_every_value_that_an_alert_selects_exists() -> None:
    from nearline.contracts.answer import Degradation
    from nearline.contracts.verdict import Outcome

    exists = {str(outcome) for outcome in Outcome} | {str(missing) for missing in Degradation}
    for alert in alerts():
        for values in re.findall(r'(?:outcome|missing)=~?"([^"]+)"', alert["expr"]):
            assert set(values.split("|")) <= exists, alert["alert"]


def test_every_alert_has_a_runbook_and_the_runbooks_name_every_alert() -> None:
    overview = (ROOT / "docs/runbooks/README.md").read_text(encoding="utf-8")
    for alert in alerts():
        assert (ROOT / alert["annotations"]["runbook"]).is_file(), alert["alert"]
        assert alert["alert"] in overview
        assert alert["labels"]["severity"] in {"page", "ticket"}


def test_every_alert_is_tested() -> None:
    tested = {
        case["alertname"]
        for test in read(PROMETHEUS / "alerts_test.yml")["tests"]
        for case in test["alert_rule_test"]
        if case.get("exp_alerts")
    }
    assert {alert["alert"] for alert in alerts()} == tested


def test_prometheus_scrapes_the_default_ports() -> None:
    metrics = DEFAULTS.metrics_port
    wanted = {
        "nearline-collector": DEFAULTS.collector_http_port,
        "nearline-worker": metrics,
        "nearline-history": metrics + 1,
        "nearline-gateway": DEFAULTS.api_http_port,
    }
    for name in ("prometheus.yml", "compose.yml"):
        jobs = read(PROMETHEUS / name)["scrape_configs"]
        ports = {
            job["job_name"]: int(job["static_configs"][0]["targets"][0].rpartition(":")[2])
            for job in jobs
        }
        assert ports == wanted


@pytest.mark.parametrize(
    "arguments",
    [
        ["check", "config", "prometheus.yml", "compose.yml"],
        ["check", "rules", "alerts.yml"],
        ["test", "rules", "alerts_test.yml"],
    ],
)
def test_promtool_accepts_the_rules_and_their_tests_pass(arguments: list[str]) -> None:
    if shutil.which("promtool") is None:
        pytest.skip("NOT CHECKED: no promtool here (Debian: apt-get install prometheus)")
    done = subprocess.run(
        ["promtool", *arguments], cwd=PROMETHEUS, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_reads_every_metrics_page() -> None:
    if shutil.which("promtool") is None:
        pytest.skip("NOT CHECKED: no promtool here (Debian: apt-get install prometheus)")
    for page in (*map(generate_latest, registries()), collectors_page()):
        done = subprocess.run(
            ["promtool", "check", "metrics"], input=page, capture_output=True, timeout=60
        )

        # It would have seconds, and no "ms"; names here end in their unit, and they stay.
        complaints = (done.stdout + done.stderr).decode().splitlines()
        assert [one for one in complaints if "abbreviated units" not in one] == []
        assert done.returncode in (0, 3)  # 3: a complaint; 1: a page that cannot be read


def services() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = read(INFRA / "compose.yaml")["services"]
    return found


def test_the_containers_run_commands_that_exist() -> None:
    known = set(entry_points(group="nearline.commands").names)
    ours = {
        name: service
        for name, service in services().items()
        if service["image"] == "nearline" and "entrypoint" not in service
    }
    assert {"collector", "worker", "history", "serve"} <= ours.keys()
    for name, service in ours.items():
        if "command" in service:
            assert service["command"][0] in known, name


def test_the_containers_are_given_settings_that_exist() -> None:
    known = {f"NEARLINE_{field.name.upper()}" for field in fields(Settings)}
    for name, service in services().items():
        given = {key for key in service.get("environment", {}) if key.startswith("NEARLINE_")}
        assert given <= known, name


def test_the_containers_need_only_what_exists() -> None:
    compose = read(INFRA / "compose.yaml")
    for name, service in compose["services"].items():
        assert set(service.get("depends_on", {})) <= compose["services"].keys(), name
        for needed in service.get("depends_on", {}):
            assert "healthcheck" in compose["services"][needed], f"{name} waits for {needed}"
        for volume in service.get("volumes", []):
            source = volume.partition(":")[0]
            assert source in compose["volumes"] or (INFRA / source).exists(), name


def test_the_containers_publish_the_default_ports() -> None:
    published = {
        int(port.rpartition(":")[2])
        for name in ("collector", "serve")
        for port in services()[name]["ports"]
    }
    assert published == {
        DEFAULTS.collector_http_port,
        DEFAULTS.collector_grpc_port,
        DEFAULTS.api_http_port,
        DEFAULTS.api_grpc_port,
    }
    # Answers ask for no key.
    assert all(port.startswith("127.0.0.1:") for port in services()["serve"]["ports"])


def test_the_containers_log_is_durable_and_evicts_nothing() -> None:
    command = services()["valkey"]["command"]

    for words in ("--appendonly yes", "--appendfsync always", "--maxmemory-policy noeviction"):
        assert words in command


def test_the_image_is_made_of_instructions_and_paths_that_exist() -> None:
    text = (INFRA / "Containerfile").read_text(encoding="utf-8")
    joined = re.sub(r"\\\n\s*", " ", re.sub(r"(?m)^\s*#.*$", "", text))
    instructions = [line.split(maxsplit=1) for line in joined.splitlines() if line.strip()]
    known = {"FROM", "ARG", "ENV", "RUN", "WORKDIR", "COPY", "USER", "VOLUME", "ENTRYPOINT", "CMD"}
    assert {name for name, _ in instructions} <= known
    copied = [
        source for name, rest in instructions if name == "COPY" for source in rest.split()[:-1]
    ]
    for source in copied:
        assert (ROOT / source).exists(), source
    packaged = set(
        re.findall(r"packages = \[(.*)\]", (ROOT / "pyproject.toml").read_text())[0]
        .replace('"', "")
        .replace(" ", "")
        .split(",")
    )
    assert packaged <= set(copied)


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    for unit in (INFRA / "systemd").iterdir():
        text = re.sub(r"/opt/nearline/\.venv/bin/nearline", "/bin/true", unit.read_text())
        (tmp_path / unit.name).write_text(re.sub(r"(?m)^(User|WorkingDirectory)=.*$", "", text))

    done = subprocess.run(
        ["systemd-analyze", "verify", *map(str, tmp_path.iterdir())], capture_output=True, text=True
    )

    assert (done.returncode, done.stderr) == (0, "")


def test_the_unit_runs_a_command_that_exists_and_knows_its_refusal() -> None:
    text = (INFRA / "systemd" / "nearline-retrain.service").read_text()
    (words,) = re.findall(r"(?m)^ExecStart=\S+/nearline (.*)$", text)

    assert words.split()[0] in entry_points(group="nearline.commands").names
    assert "SuccessExitStatus=3 130" in text
