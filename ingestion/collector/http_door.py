"""The HTTP door: Segment's wire format, with a verdict for each event.

What a sender sees, chosen so that Segment's libraries behave well (they retry 5xx and 429,
and give up on other 4xx with an error to the application):

- A batch that was processed is 200, whatever became of its events; read the verdicts.
- A single call (`/v1/track`, ...) whose event is rejected is a 400 problem (413 if it is too
  large) that carries the verdict, so that `curl` and a library's error callback show it.
  Accepted, duplicate and consent_refused are 200: nothing is wrong with the request.
- A request that cannot be understood as a whole is 400 (not JSON), 413, 415 or 422, and none of
  its events is counted. 401: no such write key. 503: the log is down; send again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import redis
import redis.asyncio
from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from ingestion.collector import openapi
from ingestion.collector.auth import basic_key
from ingestion.collector.envelope import (
    Envelope,
    EnvelopeRefused,
    batch,
    decompressed,
    single,
    too_large,
)
from ingestion.collector.intake import Intake
from ingestion.collector.letter import Call
from ingestion.collector.limits import Limits
from ingestion.collector.metrics import CONTENT_TYPE, Metrics
from ingestion.collector.parse import TYPES
from ingestion.collector.problems import problem
from ingestion.collector.timing import Timing
from nearline import keys, tracing
from nearline.contracts.verdict import Outcome, Verdict
from nearline.errors import StoreUnavailable
from nearline.write_keys import WriteKeys

_BODY_LIMIT_S = 30.0  # A sender that takes longer over one body holds a connection for nothing.
# text/plain is what browsers send to avoid a preflight; Segment's and ours do.
_MEDIA_TYPES = frozenset({"", "application/json", "text/plain"})
# The short addresses of Segment's browser library.
SHORT = {"track": "t", "identify": "i", "page": "p", "screen": "s", "group": "g", "alias": "a"}


class VerdictOut(msgspec.Struct, rename="camel"):
    """One verdict on the wire; see `openapi.VERDICT`."""

    outcome: str
    message_id: str | None
    position: str | None
    code: str | None
    hint: str | None


class Taken(msgspec.Struct):
    """The body of a 200."""

    verdicts: list[VerdictOut]
    success: bool = True


def build_http(
    intake: Intake, write_keys: WriteKeys, client: redis.asyncio.Redis, metrics: Metrics
) -> FastAPI:
    """The application over parts that the caller built and closes."""
    app = FastAPI(
        title="Nearline collector",
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        telemetry=tracing.NOT_BY_FASTAPI,
    )
    door = _Door(intake, write_keys)
    for kind in TYPES:
        app.add_api_route(
            f"/v1/{kind}", door.single_call(kind), methods=["POST"], **openapi.single_call(kind)
        )
        app.add_api_route(
            f"/v1/{SHORT[kind]}",
            door.single_call(kind),
            methods=["POST"],
            include_in_schema=False,
        )
    app.add_api_route("/v1/batch", door.batch_call, methods=["POST"], **openapi.batch_call("batch"))
    app.add_api_route(
        "/v1/import", door.batch_call, methods=["POST"], **openapi.batch_call("import")
    )
    app.add_api_route("/v1/b", door.batch_call, methods=["POST"], include_in_schema=False)
    app.add_api_route(
        "/healthz", _healthz(client, intake.address), methods=["GET"], **openapi.healthz()
    )
    app.add_api_route(
        "/metrics", _metrics_page(intake, client, metrics), methods=["GET"], **openapi.metrics()
    )
    app.add_api_route("/openapi.json", _document(app), methods=["GET"], include_in_schema=False)
    app.add_exception_handler(HTTPException, _http_problem)
    app.add_exception_handler(EnvelopeRefused, _envelope_problem)
    app.add_exception_handler(StoreUnavailable, _store_problem)
    app.add_exception_handler(Exception, _unexpected_problem)
    app.add_middleware(
        CORSMiddleware,
        # Events come from any shop's pages; the write key, not the origin, says who may send.
        allow_origins=["*"],
        allow_methods=["POST", "GET"],
        allow_headers=["authorization", "content-type", "content-encoding"],
    )
    app.add_middleware(Timing, metrics=metrics)
    return app


class _Door:
    """The calls that take events."""

    def __init__(self, intake: Intake, write_keys: WriteKeys) -> None:
        self._intake, self._write_keys = intake, write_keys

    def single_call(self, kind: str) -> Callable[[Request], Awaitable[Response]]:
        async def call(request: Request) -> Response:
            verdicts = await self._take(request, single, kind)
            (verdict,) = verdicts
            if verdict.outcome is not Outcome.REJECTED:
                return _taken(verdicts)
            status = 413 if verdict.code == "event_too_large" else 400
            return problem(
                status,
                verdict.code or "rejected",
                f"the event was rejected: {verdict.hint}",
                verdicts=[_out(verdict)],
            )

        return call

    async def batch_call(self, request: Request) -> Response:
        return _taken(await self._take(request, self._batch, None))

    def _batch(self, body: bytes) -> Envelope:
        return batch(body, self._intake.limits)

    async def _take(
        self, request: Request, open_envelope: Callable[[bytes], Envelope], kind: str | None
    ) -> list[Verdict]:
        text = basic_key(request.headers.get("authorization"))
        key = None if text is None else self._write_keys.find(text)
        if key is None and (text is not None or "authorization" in request.headers):
            raise _unauthorized()
        envelope = open_envelope(await _body(request, self._intake.limits))
        if key is None and envelope.write_key:
            key = self._write_keys.find(envelope.write_key)
        if key is None:
            raise _unauthorized()
        # Now, not at the first byte: a body may take seconds, and until here nothing was known.
        received_at_us = self._intake.clock.now_us()
        call = Call(key.name, received_at_us, kind, envelope.sent_at, envelope.context)
        return await self._intake.take(envelope.events, call, key)


async def _body(request: Request, limits: Limits) -> bytes:
    """The decompressed body, never holding more than the limit. Raises EnvelopeRefused."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in _MEDIA_TYPES:
        raise EnvelopeRefused(
            415, "media_type_unknown", "send application/json (or text/plain from a browser)"
        )
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in ("identity", "gzip", ""):
        raise EnvelopeRefused(415, "encoding_unknown", "Content-Encoding may be gzip or absent")
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(_BODY_LIMIT_S):
            async for chunk in request.stream():
                size += len(chunk)
                if size > limits.batch_bytes:
                    raise too_large(limits)
                chunks.append(chunk)
    except TimeoutError:
        raise EnvelopeRefused(
            408, "body_too_slow", f"the body did not arrive within {_BODY_LIMIT_S:.0f} s"
        ) from None
    except ClientDisconnect:
        raise EnvelopeRefused(400, "body_cut_off", "the sender hung up") from None
    body = b"".join(chunks)
    return decompressed(body, limits) if encoding == "gzip" else body


def _out(verdict: Verdict) -> VerdictOut:
    position = None if verdict.position is None else str(verdict.position)
    return VerdictOut(verdict.outcome.value, verdict.event_id, position, verdict.code, verdict.hint)


def _taken(verdicts: list[Verdict]) -> Response:
    body = msgspec.json.encode(Taken([_out(verdict) for verdict in verdicts]))
    return Response(body, media_type="application/json")


def _healthz(client: redis.asyncio.Redis, address: str) -> Callable[[], Awaitable[Response]]:
    async def healthz() -> Response:
        try:
            await client.ping()  # type: ignore[misc]
        except (redis.RedisError, OSError) as error:
            raise StoreUnavailable("the event log", address, type(error).__name__) from error
        return Response(b'{"status":"ok"}', media_type="application/json")

    return healthz


def _metrics_page(
    intake: Intake, client: redis.asyncio.Redis, metrics: Metrics
) -> Callable[[], Awaitable[Response]]:
    async def page() -> Response:
        try:
            counts: dict[str, int] | None = await intake.log.counts()
            streams = map(keys.dead_letters, range(intake.log.partitions))
            letters: int | None = sum([int(await client.xlen(stream)) for stream in streams])
        except (redis.RedisError, OSError):
            counts = letters = None
        return Response(metrics.page(counts, letters), headers={"Content-Type": CONTENT_TYPE})

    return page


def _document(app: FastAPI) -> Callable[[], Awaitable[Response]]:
    async def document() -> Response:
        return Response(msgspec.json.encode(app.openapi()), media_type="application/json")

    app.openapi = lambda: openapi.document(app)  # type: ignore[method-assign]
    return document


def _unauthorized() -> EnvelopeRefused:
    return EnvelopeRefused(
        401,
        "write_key_unknown",
        "send a write key by Basic authorization (the key as user, no password), or as writeKey "
        "in the body; `nearline collector --show-key` prints this machine's",
    )


async def _http_problem(request: Request, error: Any) -> Response:
    known = {404: "not_found", 405: "method_not_allowed"}
    detail = {
        404: "there is nothing at this address; events go to POST /v1/track or /v1/batch",
        405: "this address does not take this method; Allow names those it does",
    }.get(error.status_code, str(error.detail))
    code = known.get(error.status_code, "http_error")
    return problem(error.status_code, code, detail, headers=error.headers)


async def _envelope_problem(request: Request, error: Any) -> Response:
    # Bytes of a refused body may still be coming: the connection cannot be used again.
    headers = {"Connection": "close"} if error.status in (408, 413) else None
    return problem(error.status, error.code, error.hint, headers=headers)


async def _store_problem(request: Request, error: Any) -> Response:
    return problem(503, "log_unavailable", "the event log does not answer; send the same again")


async def _unexpected_problem(request: Request, error: Any) -> Response:
    return problem(500, "internal", "an unexpected error; the collector's log says more")
