"""Traces in OpenTelemetry's terms, from the SDK's call to the score; off unless asked for.

A trace tells where the time of one question went. It carries scenes, versions and counts, never
a customer. Whoever has an OpenTelemetry provider of their own (an app that uses the client)
keeps it: the client's spans go there.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import propagate, trace
from opentelemetry.trace import Span, SpanKind, StatusCode

from nearline.errors import PermanentError

if TYPE_CHECKING:
    from fastapi.telemetry import TelemetryConfig

NAME = "nearline"
# FastAPI adds spans, metrics and logs of its own wherever a provider is set: a second trace of each
# question and one of each look at /healthz, with paths, queries and errors that name customers.
NOT_BY_FASTAPI: Final[TelemetryConfig] = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "operation_spans": False,
    "auto_configure": False,
}
_tracer = trace.get_tracer(NAME)
_on = False
_NOTHING = nullcontext()


def start(service: str, target: str, share: float) -> None:
    """Send this process' spans to `target`: an OTLP address (http://host:4318) or a file.

    A file gets one JSON object a span. `share` of the traces that begin here are kept, 0 to 1; one
    that a caller began is kept where the caller keeps it. An empty target leaves tracing off.
    """
    global _on
    if not target:
        return
    if not 0.0 <= share <= 1.0:
        raise PermanentError(
            f"NEARLINE_TRACE_SHARE={share:g} is no share: expected 0 (none) to 1 (every question)"
        )
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio

    provider = TracerProvider(
        resource=Resource.create({"service.name": f"{NAME}-{service}"}),
        sampler=ParentBasedTraceIdRatio(share),
    )
    provider.add_span_processor(BatchSpanProcessor(_exporter(target), schedule_delay_millis=1_000))
    trace.set_tracer_provider(provider)
    _on = True


def _exporter(target: str) -> Any:
    if target.startswith(("http://", "https://")):
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        return OTLPSpanExporter(endpoint=f"{target.rstrip('/')}/v1/traces", timeout=5)
    return _lines_into(Path(target))


def _lines_into(path: Path) -> Any:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

    class Lines(SpanExporter):
        """One JSON object a line; several processes may append to one file."""

        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            text = "".join(f"{json.dumps(_told(span))}\n" for span in spans)
            with path.open("a", encoding="utf-8") as file:
                file.write(text)
            return SpanExportResult.SUCCESS

    path.parent.mkdir(parents=True, exist_ok=True)
    return Lines()


def _told(span: Any) -> dict[str, Any]:
    context = span.get_span_context()
    return {
        "name": span.name,
        "service": span.resource.attributes.get("service.name"),
        "trace_id": f"{context.trace_id:032x}",
        "span_id": f"{context.span_id:016x}",
        "parent_id": f"{span.parent.span_id:016x}" if span.parent else None,
        "start_us": span.start_time // 1_000,
        "ms": (span.end_time - span.start_time) / 1e6,
        "attributes": dict(span.attributes or {}),
    }


@contextmanager
def begun_elsewhere(carrier: Mapping[str, str], name: str) -> Iterator[Span | None]:
    """A span under the caller's, whose `traceparent` is among the headers; costs nothing if off."""
    if not _on:
        yield None
        return
    with _opened(name, context=propagate.extract(carrier), kind=SpanKind.SERVER) as span:
        yield span


def part(name: str) -> AbstractContextManager[object]:
    """A span within the one that is under way; costs nothing if tracing is off."""
    return _opened(name) if _on else _NOTHING


@contextmanager
def calling(name: str, headers: MutableMapping[str, str]) -> Iterator[None]:
    """A span of a client's call; its `traceparent` goes into the headers.

    Where the app has no provider this adds nothing, and costs some microseconds.
    """
    with _opened(name, kind=SpanKind.CLIENT):
        propagate.inject(headers)
        yield


@contextmanager
def _opened(name: str, **options: Any) -> Iterator[Span]:
    """A current span; of an error only its kind is told, since its words may name a customer."""
    with _tracer.start_as_current_span(
        name, record_exception=False, set_status_on_exception=False, **options
    ) as span:
        try:
            yield span
        except Exception as error:
            span.set_status(StatusCode.ERROR, type(error).__name__)
            raise


def told(span: Span | None, **attributes: str | int | bool) -> None:
    """Say something of a span; None is passed over."""
    if span is not None:
        span.set_attributes(attributes)
