"""What `nearline top` makes of the parts' own pages."""

from __future__ import annotations

import io

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from rich.cells import cell_len
from rich.console import Console

from ingestion.archive.metrics import ArchiveMetrics
from ingestion.collector.metrics import Metrics as CollectorMetrics
from ingestion.worker.metrics import WorkerMetrics
from nearline.top.figures import Figures, Page, Snapshot, Spread, figures
from nearline.top.probe import part_of
from nearline.top.view import render
from nearline.top.window import parse
from serving.exposures import Exposures
from serving.metrics import Metrics as GatewayMetrics


async def nowhere(*_: object) -> list[str]:
    return []


class Running:
    """The metrics of all parts, filled by hand; `look` takes a snapshot of their real pages."""

    def __init__(self) -> None:
        self.registries = {"worker": CollectorRegistry(), "history": CollectorRegistry()}
        self.worker = WorkerMetrics(self.registries["worker"])
        self.history = ArchiveMetrics(self.registries["history"])
        self.collector = CollectorMetrics()
        self.counts = dict.fromkeys(
            ("received", "stored", "duplicate", "rejected", "consent_refused"), 0
        )
        self.gateway = GatewayMetrics(Exposures(nowhere), item_lag_ms=lambda: 40.0)
        self.health = {"bundle": "7", "challenger": ""}
        self.down: set[str] = set()

    def look(self, at_s: float) -> Snapshot:
        texts = {name: generate_latest(one) for name, one in self.registries.items()}
        texts["collector"] = self.collector.page(self.counts, dead_letters=2)
        texts["serve"] = self.gateway.text()
        pages = {
            name: Page(problem="ConnectError") if name in self.down else Page(parse(text.decode()))
            for name, text in texts.items()
        }
        memory = {"worker": 41_000_000, "redis": 90_000_000}
        return Snapshot(at_s, pages | {"redis": Page({})}, self.health, memory)


@pytest.fixture
def busy() -> Figures:
    """Ten seconds in which a little of everything happened."""
    running = Running()
    running.gateway.recommend_latency_ms.labels("champion").observe(999.0)  # before the window
    before = running.look(100.0)
    for _ in range(20):
        running.gateway.recommend_latency_ms.labels("champion").observe(4.0)
        running.gateway.freshness_ms.observe(40.0)
        running.worker.lag_ms.observe(2.5)
    running.gateway.freshness_ms.observe(200.0)
    running.gateway.stage_latency_ms.labels("features").observe(1.5)
    running.gateway.scores_latency_ms.labels("batch").observe(400.0)
    running.gateway.degraded.labels("recommend", "stale", "champion").inc(5)
    running.gateway.degraded.labels("tags", "stale", "none").inc(5)
    running.gateway.rule_violations.labels("never_purchased").inc()
    running.gateway.overloaded.inc(30)
    running.counts |= {"stored": 200, "rejected": 10}
    running.worker.partition_lag_ms.labels("0").set(3.0)
    running.worker.partition_lag_ms.labels("1").set(9.0)
    running.worker.held.set(4)
    running.history.events.inc(150)
    running.history.waiting.set(50)
    return figures([before, running.look(110.0)])


def test_the_figures_are_those_of_the_window_alone(busy: Figures) -> None:
    assert busy.window_s == 10.0
    # 20 in the bucket (10, 50], one in (100, 300]. Rank 10.5 of 20 in 10 to 50 ms is 31; rank
    # 20.79 lies 79 % of the way from 100 to 300.
    fresh = busy.freshness_ms
    assert fresh is not None
    assert (fresh.per_s, fresh.p50) == (2.1, pytest.approx(31.0))
    assert fresh.p99 == pytest.approx(258.0)
    # 4 ms lies in (2, 5]: the 999 ms of before is not among them.
    champion = busy.answers_ms["recommend champion"]
    assert (champion.per_s, champion.p50) == (2.0, pytest.approx(3.5))
    assert champion.p99 == pytest.approx(2 + 3 * 0.99)
    assert busy.stages_ms["features"].per_s == pytest.approx(0.1)


def test_what_went_wrong_is_counted_by_its_name(busy: Figures) -> None:
    assert busy.degraded_per_s == {"stale": 1.0}
    assert busy.violations == {"never_purchased": 1.0}
    assert busy.overloaded_per_s == 3.0
    assert busy.dead_letters == 2.0


def test_events_and_lags_come_from_their_parts(busy: Figures) -> None:
    assert busy.events_per_s == {
        "accepted": 20.0,
        "duplicate": 0.0,
        "rejected": 1.0,
        "consent_refused": 0.0,
    }
    assert busy.worker_lag_ms is not None
    assert busy.worker_lag_ms.p50 == pytest.approx(2.5)
    assert (busy.partition_lag_ms, busy.partitions_held) == (9.0, 4.0)
    assert (busy.archived_per_s, busy.history_waiting) == (15.0, 50.0)
    assert (busy.exposures_waiting, busy.item_lag_ms) == (0.0, 40.0)
    assert busy.bundle == "7"
    assert {part.name: part.memory_bytes for part in busy.parts} == {
        "collector": None,
        "worker": 41_000_000,
        "history": None,
        "serve": None,
        "redis": 90_000_000,
    }


def test_a_role_that_never_answered_has_no_row(busy: Figures) -> None:
    assert busy.answers_ms.keys() == {"recommend champion", "scores batch", "churn", "tags"}


def test_a_part_that_is_down_is_said_so_and_takes_nothing_else_with_it() -> None:
    running = Running()
    running.down = {"worker", "serve"}
    found = figures([running.look(0.0), running.look(2.0)])

    assert [(part.name, part.up) for part in found.parts] == [
        ("collector", True),
        ("worker", False),
        ("history", True),
        ("serve", False),
        ("redis", True),
    ]
    assert found.worker_lag_ms is None
    assert found.freshness_ms is None
    assert found.overloaded_per_s is None
    assert found.dead_letters == 2.0


def test_a_part_that_came_back_counts_from_then() -> None:
    running = Running()
    running.down = {"worker"}
    seen = [running.look(0.0)]
    running.down = set()
    running.worker.lag_ms.observe(1.0)  # nobody knows when
    seen.append(running.look(20.0))
    running.worker.lag_ms.observe(1.0)
    seen.append(running.look(30.0))

    found = figures(seen)

    assert found.worker_lag_ms is not None
    assert found.worker_lag_ms.per_s == pytest.approx(0.1)  # 1 in 10 s


def test_a_part_that_was_seen_once_has_done_nothing_yet() -> None:
    running = Running()
    running.down = {"worker"}
    before = running.look(0.0)
    running.down = set()
    running.worker.lag_ms.observe(1.0)

    found = figures([before, running.look(2.0)])

    assert found.worker_lag_ms == Spread(0.0, None, None)


def shown(found: Figures) -> str:
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(render(found))
    return console.export_text()


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_view_fits_80_columns_in_both_languages(
    busy: Figures, language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEARLINE_LANG", language)
    text = shown(busy)

    assert max(cell_len(line) for line in text.splitlines()) <= 80
    assert "…" not in text
    for told in ("31 ms", "258 ms", "stale 1.0/s", "never_purchased 1", "accepted 20.0/s", "41 MB"):
        assert told in text
    freshness = "Freshness" if language == "en" else "新鲜度"
    assert text.splitlines()[1].startswith(freshness)


def test_a_part_that_is_down_is_told_with_the_command_that_starts_it() -> None:
    running = Running()
    running.down = {"serve", "worker"}
    text = shown(figures([running.look(0.0), running.look(2.0)]))

    assert "does not answer (ConnectError): nearline worker" in text
    assert "Rules broken" not in text  # nobody knows


def test_a_process_belongs_to_the_part_that_it_or_an_ancestor_was_started_as() -> None:
    worker = ["/env/bin/python", "-m", "nearline", "worker"]
    ray = ["ray::Replica"]

    assert part_of([worker]) == "worker"
    assert part_of([ray, ["raylet"], ["/env/bin/nearline", "serve"]]) == "serve"
    assert part_of([["/env/bin/nearline", "top"], ["bash"]]) is None
