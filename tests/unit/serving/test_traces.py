"""One trace for each question, whatever the frameworks between would add, and nobody in it.

Told in a process of its own, since OpenTelemetry takes one provider in a process' life.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

STORY = """
import asyncio, json, sys
import httpx
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from nearline import tracing
from nearline.contracts.answer import Receipt, TagsAnswer
from nearline.v1 import recommend_pb2 as pb
from serving.grpc_api import GrpcApi
from serving.health import Health
from serving.http_api import build
from serving.requests import InvalidRequest
from serving.stages import Stages
from serving.watch import WatchState

spans = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(SimpleSpanProcessor(spans))
trace.set_tracer_provider(provider)
tracing._on = True
read = Stages()

class Answers:
    async def tags(self, customer_id, as_of_us):
        with read("read"):
            if "unlucky" in customer_id:
                raise KeyError(customer_id)
            if "refused" in customer_id:
                raise InvalidRequest("customer_id", customer_id)
            return TagsAnswer(tags=(), receipt=Receipt("", 1, 0, None, None))

class Context:
    def __init__(self, metadata): self.metadata = metadata
    def set_code(self, code): pass
    def set_details(self, details): pass
    def invocation_metadata(self): return self.metadata

async def health():
    return Health.of(WatchState(), redis=True, items=True, exposures_waiting=0)

async def story():
    door, headers = sys.argv[1], json.loads(sys.argv[2])
    for who in sys.argv[3:]:
        if door == "grpc":
            frame = pb.TagsRequest(customer_id=who).SerializeToString()
            await GrpcApi(Answers()).tags(frame, Context(list(headers.items())))
            continue
        class Metrics:
            def text(self): return "nothing"
        app = build(Answers(), health, Metrics())
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            await client.get(f"/v1/tags/{who}", headers=headers, params={"as_of_us": 5})
            for page in ("/healthz", "/metrics", "/v1/nothing"):
                await client.get(page)

asyncio.run(story())
print(json.dumps([json.loads(span.to_json()) for span in spans.get_finished_spans()]))
"""
CALLER = {"traceparent": f"00-{'1' * 32}-{'2' * 16}-01"}


def told(door: str, headers: dict[str, str], *who: str) -> list[dict[str, Any]]:
    command = [sys.executable, "-c", STORY, door, json.dumps(headers), *who]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    spans: list[dict[str, Any]] = json.loads(done.stdout.splitlines()[-1])
    return spans


@pytest.mark.parametrize("door", ["http", "grpc"])
def test_each_question_is_one_trace_with_its_parts_under_one_root(door: str) -> None:
    spans = told(door, {}, "ann", "bob")

    roots = [span for span in spans if span["parent_id"] is None]
    assert [span["name"] for span in roots] == ["tags", "tags"]
    assert len({span["context"]["trace_id"] for span in roots}) == 2
    for root in roots:
        parts = [span for span in spans if span["parent_id"] == root["context"]["span_id"]]
        assert [span["name"] for span in parts] == ["read"]
        assert parts[0]["context"]["trace_id"] == root["context"]["trace_id"]
    assert len(spans) == 4  # None of the framework's, and none of /healthz or /metrics.


@pytest.mark.parametrize("door", ["http", "grpc"])
def test_a_trace_that_the_caller_began_goes_on_and_has_no_second_root(door: str) -> None:
    spans = told(door, CALLER, "ann")

    assert {span["context"]["trace_id"] for span in spans} == {f"0x{'1' * 32}"}
    assert [span["name"] for span in spans if span["parent_id"] == f"0x{'2' * 16}"] == ["tags"]
    assert len(spans) == 2


@pytest.mark.parametrize("door", ["http", "grpc"])
def test_nothing_in_a_trace_names_a_customer_and_of_an_error_only_its_kind_is_told(
    door: str,
) -> None:
    spans = told(door, {}, "ann", "unlucky-ann", "refused-ann")

    assert "ann" not in json.dumps(spans)
    assert all(span["events"] == [] for span in spans)
    reads = [span["status"].get("description") for span in spans if span["name"] == "read"]
    assert reads == [None, "KeyError", "InvalidRequest"]
