"""The gRPC door: the same events, checks and verdicts as POST /v1/batch."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
from google.protobuf.struct_pb2 import Struct, Value
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from ingestion.collector.auth import basic_key
from ingestion.collector.envelope import sent_at_text
from ingestion.collector.intake import Intake
from ingestion.collector.letter import Call
from ingestion.collector.limits import Limits
from ingestion.collector.metrics import Metrics
from nearline.contracts.verdict import Verdict
from nearline.errors import PermanentError, StoreUnavailable
from nearline.grpc_edge import Lenient
from nearline.v1 import ingest_pb2, ingest_pb2_grpc
from nearline.write_keys import WriteKey, WriteKeys

_Context = grpc.aio.ServicerContext[ingest_pb2.CollectRequest, ingest_pb2.CollectResponse]
_SERVICE = ingest_pb2.DESCRIPTOR.services_by_name["Collector"].full_name
_FIELDS = {  # Segment's member -> our message's.
    "type": "type",
    "event": "event",
    "userId": "user_id",
    "anonymousId": "anonymous_id",
    "messageId": "message_id",
    "timestamp": "timestamp",
    "name": "name",
    "groupId": "group_id",
    "previousId": "previous_id",
}
_WHOLE = 2**53  # Up to here a double that is whole was sent as a whole number.


async def build_grpc(
    intake: Intake, write_keys: WriteKeys, metrics: Metrics, address: str
) -> grpc.aio.Server:
    """The server, bound and not yet started; raises PermanentError when the port is taken."""
    server = grpc.aio.server(
        options=[
            # Larger requests get RESOURCE_EXHAUSTED from gRPC itself, before they are read.
            ("grpc.max_receive_message_length", intake.limits.batch_bytes),
            # Two collectors must not share a port unawares.
            ("grpc.so_reuseport", 0),
        ]
    )
    door: Any = Lenient(server)
    ingest_pb2_grpc.add_CollectorServicer_to_server(  # type: ignore[no-untyped-call]
        CollectorService(intake, write_keys, metrics), door
    )
    healthy = health.aio.HealthServicer()
    await healthy.set(_SERVICE, health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(healthy, door)
    names = (_SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME)
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(  # type: ignore[no-untyped-call]
        reflection.aio.ReflectionServicer(names), door
    )
    try:
        bound = server.add_insecure_port(address)
    except RuntimeError:
        bound = 0
    if not bound:
        raise PermanentError(
            f"gRPC cannot listen on {address}: stop what uses that port, "
            "or set NEARLINE_COLLECTOR_GRPC_PORT to another"
        )
    return server


class CollectorService(ingest_pb2_grpc.CollectorServicer):
    """`nearline.v1.Collector`."""

    def __init__(self, intake: Intake, write_keys: WriteKeys, metrics: Metrics) -> None:
        self._intake, self._write_keys, self._metrics = intake, write_keys, metrics

    async def Collect(
        self, request: ingest_pb2.CollectRequest, context: _Context
    ) -> ingest_pb2.CollectResponse:
        """One batch."""
        return await self._take(request, await self._authorized(context), context, "Collect")

    async def CollectStream(
        self, requests: AsyncIterator[ingest_pb2.CollectRequest], context: _Context
    ) -> AsyncIterator[ingest_pb2.CollectResponse]:
        """One response for each batch, in order; the first refusal of a batch ends the stream."""
        key = await self._authorized(context)
        async for request in requests:
            yield await self._take(request, key, context, "CollectStream")

    async def _take(
        self,
        request: ingest_pb2.CollectRequest,
        key: WriteKey,
        context: _Context,
        method: str,
    ) -> ingest_pb2.CollectResponse:
        began = time.perf_counter()
        limits: Limits = self._intake.limits
        if len(request.events) > limits.batch_events:
            await context.abort(
                grpc.StatusCode.RESOURCE_EXHAUSTED,
                f"{len(request.events)} events in one batch; "
                f"at most {limits.batch_events} are taken",
            )
        call = Call(key.name, self._intake.clock.now_us(), sent_at=sent_at_text(request.sent_at))
        try:
            verdicts = await self._intake.take(
                [json_of(event) for event in request.events], call, key
            )
        except StoreUnavailable:
            self._metrics.observe("grpc", method, "UNAVAILABLE", time.perf_counter() - began)
            await context.abort(
                grpc.StatusCode.UNAVAILABLE, "the event log does not answer; send the same again"
            )
        self._metrics.observe("grpc", method, "OK", time.perf_counter() - began)
        return ingest_pb2.CollectResponse(verdicts=map(_verdict, verdicts))

    async def _authorized(self, context: _Context) -> WriteKey:
        metadata = dict(context.invocation_metadata() or ())
        header = metadata.get("authorization")
        text = basic_key(header if isinstance(header, str) else None)
        key = None if text is None else self._write_keys.find(text)
        if key is None:
            await context.abort(
                grpc.StatusCode.UNAUTHENTICATED,
                "send metadata `authorization: Basic base64(write key + ':')`; "
                "`nearline collector --show-key` prints this machine's key",
            )
        return key


def json_of(event: ingest_pb2.SegmentEvent) -> bytes:
    """The event in Segment's JSON. A NaN stays one, so that it is refused as over HTTP."""
    call: dict[str, object] = {
        name: getattr(event, field) for name, field in _FIELDS.items() if getattr(event, field)
    }
    for name in ("properties", "traits", "context"):
        if event.HasField(name):
            call[name] = _plain(getattr(event, name))
    return json.dumps(call, ensure_ascii=False, separators=(",", ":")).encode()


def _plain(struct: Struct) -> dict[str, object]:
    return {name: _plain_value(value) for name, value in struct.fields.items()}


def _plain_value(value: Value) -> object:
    kind = value.WhichOneof("kind")
    if kind == "number_value":
        number = value.number_value
        return int(number) if number.is_integer() and abs(number) <= _WHOLE else number
    if kind == "struct_value":
        return _plain(value.struct_value)
    if kind == "list_value":
        return [_plain_value(item) for item in value.list_value.values]
    return None if kind in (None, "null_value") else getattr(value, kind)


def _verdict(verdict: Verdict) -> ingest_pb2.EventVerdict:
    return ingest_pb2.EventVerdict(
        outcome=verdict.outcome.value,
        message_id=verdict.event_id or "",
        position="" if verdict.position is None else str(verdict.position),
        code=verdict.code or "",
        hint=verdict.hint or "",
    )
