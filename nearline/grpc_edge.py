"""gRPC servers that answer malformed frames with INVALID_ARGUMENT, never with INTERNAL.

gRPC's Python server turns an exception in a request's deserializer into INTERNAL, as if it were
the server's fault. Registering through `Lenient` makes a frame that is no message a value,
and the call is then aborted with the right code.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

_DETAILS = "the frame is not a message of this call: check the proto file and its version"
Deserializer = Callable[[bytes], Any]


class Malformed:
    """Stands for a frame that could not be parsed."""


MALFORMED: Final = Malformed()


class Lenient:
    """Stands between a generated `add_XServicer_to_server` and the server.

        add_CollectorServicer_to_server(servicer, Lenient(server))

    Servicers are asynchronous (grpc.aio); reflection's and health's may pass here as well.
    """

    def __init__(self, server: grpc.aio.Server) -> None:
        self._server = server

    def add_registered_method_handlers(
        self, service: str, handlers: dict[str, grpc.RpcMethodHandler[Any, Any]]
    ) -> None:
        """Register the methods of a service, each made lenient."""
        made = {name: lenient(handler) for name, handler in handlers.items()}
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(service, made),)
        )

    def add_generic_rpc_handlers(self, handlers: Any) -> None:
        """Do nothing: generated code registers the same methods in both ways."""


def lenient(handler: Any) -> grpc.RpcMethodHandler[Any, Any]:
    """The same method, answering a frame that is no message with INVALID_ARGUMENT."""
    parse = lenient_deserializer(handler.request_deserializer)
    encode = handler.response_serializer
    if handler.request_streaming and handler.response_streaming:
        return grpc.stream_stream_rpc_method_handler(
            _stream_stream(handler.stream_stream), parse, encode
        )
    if handler.request_streaming:
        return grpc.stream_unary_rpc_method_handler(
            _stream_unary(handler.stream_unary), parse, encode
        )
    if handler.response_streaming:
        return grpc.unary_stream_rpc_method_handler(
            _unary_stream(handler.unary_stream), parse, encode
        )
    return grpc.unary_unary_rpc_method_handler(_unary_unary(handler.unary_unary), parse, encode)


def lenient_deserializer(parse: Deserializer) -> Deserializer:
    """A deserializer that returns MALFORMED where the other would raise."""

    def parse_or_say(frame: bytes) -> Any:
        try:
            return parse(frame)
        except (DecodeError, ValueError, RecursionError):
            return MALFORMED

    return parse_or_say


def _unary_unary(behaviour: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    async def call(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
        if request is MALFORMED:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, _DETAILS)
        return await behaviour(request, context)

    return call


def _unary_stream(behaviour: Callable[..., Any]) -> Callable[..., Any]:
    async def call(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> AsyncIterator[Any]:
        if request is MALFORMED:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, _DETAILS)
        # Health's Watch sends by itself and returns nothing to iterate.
        answers = behaviour(request, context)
        if hasattr(answers, "__aiter__"):
            async for answer in answers:
                yield answer
        else:
            await answers

    return call


def _stream_unary(behaviour: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    async def call(
        requests: AsyncIterator[Any], context: grpc.aio.ServicerContext[Any, Any]
    ) -> Any:
        return await behaviour(_well_formed(requests, context), context)

    return call


def _stream_stream(behaviour: Callable[..., AsyncIterator[Any]]) -> Callable[..., Any]:
    async def call(
        requests: AsyncIterator[Any], context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[Any]:
        async for answer in behaviour(_well_formed(requests, context), context):
            yield answer

    return call


async def _well_formed(
    requests: AsyncIterator[Any], context: grpc.aio.ServicerContext[Any, Any]
) -> AsyncIterator[Any]:
    async for request in requests:
        if request is MALFORMED:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, _DETAILS)
        yield request
