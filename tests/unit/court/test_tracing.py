"""Spans from the caller's to the parts of an answer, in a process of their own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from nearline import tracing
from nearline.errors import PermanentError

STORY = """
import sys
from opentelemetry import trace
from nearline import tracing
tracing.start("test", sys.argv[1], float(sys.argv[2]))
headers = {}
with tracing.calling("nearline.recommend", headers):
    pass
with tracing.begun_elsewhere(headers, "recommend") as span:
    tracing.told(span, scene="home", items=3)
    with tracing.part("rank"):
        pass
trace.get_tracer_provider().shutdown()
"""


def spans(file: Path, share: str) -> dict[str, dict[str, object]]:
    subprocess.run([sys.executable, "-c", STORY, str(file), share], check=True)
    lines = file.read_text().splitlines() if file.exists() else []
    return {span["name"]: span for span in map(json.loads, lines)}


def test_a_trace_leads_from_the_sdks_call_to_the_parts_of_the_answer(tmp_path: Path) -> None:
    found = spans(tmp_path / "spans.jsonl", "1")

    call, answer, rank = found["nearline.recommend"], found["recommend"], found["rank"]
    assert call["trace_id"] == answer["trace_id"] == rank["trace_id"]
    assert call["parent_id"] is None
    assert answer["parent_id"] == call["span_id"]
    assert rank["parent_id"] == answer["span_id"]
    assert answer["attributes"] == {"scene": "home", "items": 3}
    assert answer["service"] == "nearline-test"


def test_what_is_not_sampled_is_written_nowhere(tmp_path: Path) -> None:
    assert spans(tmp_path / "spans.jsonl", "0") == {}


def test_without_a_target_nothing_is_traced_and_parts_cost_nothing() -> None:
    tracing.start("test", "", 1.0)
    headers: dict[str, str] = {}

    with tracing.calling("nearline.recommend", headers), tracing.part("rank"):
        pass
    with tracing.begun_elsewhere(
        {"traceparent": "00-" + "1" * 32 + "-" + "2" * 16 + "-01"}, "x"
    ) as span:
        tracing.told(span, scene="home")

    assert span is None
    assert headers == {}


def test_a_share_that_is_none_is_refused_with_its_variable() -> None:
    with pytest.raises(PermanentError, match="NEARLINE_TRACE_SHARE=2"):
        tracing.start("test", "spans.jsonl", 2.0)
