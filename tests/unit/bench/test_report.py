from __future__ import annotations

import json

import pytest

from nearline.bench.commands import _without_key
from nearline.bench.machine import Machine
from nearline.bench.report import (
    LIMIT_MS,
    Figures,
    Latency,
    Rate,
    Report,
    notes,
    to_json,
    to_markdown,
)
from nearline.bench.stats import Summary


def summary(p50: float, p99: float) -> Summary:
    return Summary(n=200, p50=p50, p99=p99, largest=p99 + 1, mean=p50)


def figures(p99: float = 80.0, *, missed: int = 0, changed: int = 190) -> Figures:
    return Figures(
        latencies=(
            Latency(
                "event_to_recommendation", "event", "事件", summary(20, p99), "floor", LIMIT_MS
            ),
            Latency("floor", "the floor", "下限", summary(5, 10)),
        ),
        rates=(Rate("ingest", "in", "写", 300.0, "raw"), Rate("raw", "raw", "下限", 1_200.0)),
        bundle="3",
        degraded=(),
        trials=200,
        missed=missed,
        changed=changed,
    )


def report(found: Figures) -> Report:
    machine = Machine("a processor", 2, 8.0, "Linux 6.1 x86_64", "3.11.7", 0.1)
    return Report("2026-11-21T12:00:00+00:00", "nearline bench", "0.1.0", 7, machine, found)


def test_a_figure_is_told_as_a_multiple_of_its_floor() -> None:
    found = figures()

    assert found.ratios(found.latencies[0]) == (4.0, 8.0)
    assert found.ratios(found.latencies[1]) is None
    assert found.share(found.rates[0]) == 0.25


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (figures(1_000.1), "1000 ms at p99"),
        (figures(missed=1), "1 events never reached an answer"),
        (figures(changed=0), "not one of 200 events changed a list"),
    ],
)
def test_a_run_that_does_not_hold_the_promise_fails(found: Figures, words: str) -> None:
    (failure,) = found.failures

    assert words in failure
    assert any(note.startswith("FAILED") for note in notes(found))


def test_a_run_exactly_at_the_limit_holds_it() -> None:
    assert figures(1_000.0).failures == ()


def test_the_json_carries_the_ratios_and_the_verdicts() -> None:
    document = json.loads(to_json(report(figures())))

    first = document["figures"]["latencies"][0]
    assert (first["ratio_p50"], first["ratio_p99"], first["kept"]) == (4.0, 8.0, True)
    assert document["figures"]["rates"][0]["share_of_floor"] == 0.25
    assert document["figures"]["failures"] == []
    assert document["machine"]["cores"] == 2


def test_the_page_tells_machine_date_seed_and_command() -> None:
    page = to_markdown(report(figures()))

    for words in ("a processor, 2 cores", "2026-11-21", "seed 7", "    nearline bench\n"):
        assert words in page
    assert "| event 事件 | 200 | 20.0 | 80.0 | 81.0 | 4.0 | 8.0 | the floor | ≤ 1000 kept |" in page


@pytest.mark.parametrize("typed", [["--write-key", "secret"], ["--write-key=secret"]])
def test_the_command_is_told_without_the_write_key(typed: list[str]) -> None:
    shown = " ".join(_without_key([*typed, "--seed", "7"]))

    assert "secret" not in shown
    assert shown.endswith("--seed 7")
