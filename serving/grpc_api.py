"""The gRPC door: the same answers as HTTP, behind Ray Serve's gRPC proxy.

Ray's proxy would decode requests itself and answer INTERNAL to bytes that are no message.
`add_to_server` registers our services without a decoder, so the bytes arrive here and a
malformed frame is told what it is: INVALID_ARGUMENT.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Any, Protocol, TypeVar

import grpc
from google.protobuf.message import DecodeError, Message
from grpc_health.v1 import health_pb2

from nearline import logs, tracing
from nearline.contracts.answer import ScoresBatchAnswer
from nearline.v1 import recommend_pb2 as pb
from serving import problems, wire
from serving.answers import Answers
from serving.requests import InvalidRequest
from serving.turns import Overloaded

RECOMMENDATIONS = "nearline.v1.Recommendations"
METHODS = ("Recommend", "Churn", "Tags", "Scores", "ScoresBatch")
HEALTH = "grpc.health.v1.Health"
SERVICES = ("", RECOMMENDATIONS)  # What Health knows; empty asks for all of it.
MAX_WATCHERS = 100  # Of one replica at a time; each holds one of its places while it watches.
WATCH_EVERY_S = 5.0  # HAProxy ends a stream that says nothing for 10 s.

M = TypeVar("M", bound=Message)

logger = logging.getLogger(__name__)


class Context(Protocol):
    """What of a gRPC context is used here; Ray's travels between processes."""

    def set_code(self, code: grpc.StatusCode) -> None: ...

    def set_details(self, details: str) -> None: ...

    def invocation_metadata(self) -> Sequence[tuple[str, str]]: ...


class GrpcApi:
    """Each method takes the frame's bytes and returns a message; faults go to the context."""

    def __init__(self, answers: Answers) -> None:
        self._answers = answers
        self._watchers = 0

    async def recommend(self, frame: bytes, context: Context) -> pb.RecommendResponse:
        async def answer() -> pb.RecommendResponse:
            query = wire.query_of(_parsed(pb.RecommendRequest, frame))
            return wire.recommendation(await self._answers.recommend(query))

        return await _told(answer, context, pb.RecommendResponse())

    async def churn(self, frame: bytes, context: Context) -> pb.ChurnResponse:
        async def answer() -> pb.ChurnResponse:
            customer_id, as_of_us = wire.customer_of(_parsed(pb.ChurnRequest, frame))
            return wire.churn(await self._answers.churn(customer_id, as_of_us))

        return await _told(answer, context, pb.ChurnResponse())

    async def tags(self, frame: bytes, context: Context) -> pb.TagsResponse:
        async def answer() -> pb.TagsResponse:
            customer_id, as_of_us = wire.customer_of(_parsed(pb.TagsRequest, frame))
            return wire.tags(await self._answers.tags(customer_id, as_of_us))

        return await _told(answer, context, pb.TagsResponse())

    async def scores(self, frame: bytes, context: Context) -> pb.ScoresResponse:
        async def answer() -> pb.ScoresResponse:
            query = wire.scores_query_of(_parsed(pb.ScoresRequest, frame))
            (one,) = await self._answers.scores(query)
            return wire.scores(one)

        return await _told(answer, context, pb.ScoresResponse())

    async def scores_batch(self, frame: bytes, context: Context) -> pb.ScoresBatchResponse:
        async def answer() -> pb.ScoresBatchResponse:
            query = wire.scores_query_of(_parsed(pb.ScoresBatchRequest, frame))
            return wire.scores_batch(ScoresBatchAnswer(await self._answers.scores(query)))

        return await _told(answer, context, pb.ScoresBatchResponse())

    def check(self, frame: bytes, context: Context) -> health_pb2.HealthCheckResponse:
        """SERVING for what we serve: with fallbacks, an answer is always there."""
        try:
            found = _status(frame)
        except InvalidRequest as error:
            return _refused(context, error, health_pb2.HealthCheckResponse())
        if found.status != health_pb2.HealthCheckResponse.SERVING:
            context.set_code(grpc.StatusCode.NOT_FOUND)
            context.set_details(f"unknown service; known: {RECOMMENDATIONS}")
            return health_pb2.HealthCheckResponse()
        return found

    async def watch(
        self, frame: bytes, context: Context
    ) -> AsyncGenerator[health_pb2.HealthCheckResponse, None]:
        """The status at once, and again every few seconds, so that silence means trouble.

        Whoever comes when MAX_WATCHERS watch is told UNIMPLEMENTED: by Health's protocol a client
        then goes on without watching, whereas any other code means to it that we are not well.
        """
        try:
            found = _status(frame)
        except InvalidRequest as error:
            _refused(context, error, health_pb2.HealthCheckResponse())
            return
        if self._watchers >= MAX_WATCHERS:
            context.set_code(grpc.StatusCode.UNIMPLEMENTED)
            context.set_details(f"{MAX_WATCHERS} watch already; ask Check now and then instead")
            return
        self._watchers += 1
        try:
            while True:
                yield found
                await asyncio.sleep(WATCH_EVERY_S)
        finally:
            self._watchers -= 1


def add_to_server(_servicer: Any, server: Any) -> None:
    """Register our services with Ray's proxy.

    The proxy replaces each handler by a route to the gateway's method of the same name.
    Importing this module also loads the descriptors that reflection shows.
    """
    unary, stream = grpc.unary_unary_rpc_method_handler, grpc.unary_stream_rpc_method_handler
    services: dict[str, dict[str, Any]] = {
        RECOMMENDATIONS: {name: unary(_never) for name in METHODS},
        HEALTH: {"Check": unary(_never), "Watch": stream(_never)},
    }
    for service, handlers in services.items():
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, handlers),))


def _never(*_: Any) -> Any:
    raise AssertionError("Ray's proxy replaces this handler")


def _parsed(kind: type[M], frame: bytes) -> M:
    try:
        return kind.FromString(frame)
    except DecodeError:
        raise InvalidRequest("message", f"these bytes are no {kind.DESCRIPTOR.full_name}") from None


def _status(frame: bytes) -> health_pb2.HealthCheckResponse:
    known = _parsed(health_pb2.HealthCheckRequest, frame).service in SERVICES
    status = health_pb2.HealthCheckResponse
    return status(status=status.SERVING if known else status.SERVICE_UNKNOWN)


async def _told(answer: Callable[[], Awaitable[M]], context: Context, empty: M) -> M:
    """The answer, or a fault in the context. Ray would send a bug's stack trace to the caller."""
    try:
        with tracing.begun_elsewhere(dict(context.invocation_metadata()), _service(empty)):
            return await answer()
    except InvalidRequest as error:
        return _refused(context, error, empty)
    except Overloaded as error:
        context.set_code(grpc.StatusCode.RESOURCE_EXHAUSTED)
        context.set_details(str(error))
        return empty
    except Exception as error:  # noqa: BLE001 - a bug; where is for the log, not for the caller
        logger.error("a request failed: %s", logs.where(error))
        context.set_code(grpc.StatusCode.INTERNAL)
        context.set_details(problems.BROKEN)
        return empty


def _service(answer: Message) -> str:
    return answer.DESCRIPTOR.name.removesuffix("Response").lower()


def _refused(context: Context, error: InvalidRequest, empty: M) -> M:
    context.set_code(grpc.StatusCode.INVALID_ARGUMENT)
    context.set_details(str(error))
    return empty
