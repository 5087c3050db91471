"""The floor of HTTP and gRPC: a server that gives one stored answer without any work.

Run as `python -m nearline.bench.echo HTTP_PORT GRPC_PORT ANSWER.json`; the answer is a
recommendation as the real API gave it, so both send and parse the same bytes.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

import grpc.aio
import uvicorn

from nearline.v1 import recommend_pb2, recommend_pb2_grpc

_VERDICT = (
    b'{"success":true,"verdicts":[{"outcome":"accepted","messageId":"m","position":"0-1-0",'
    b'"code":null,"hint":null}]}'
)
Message = MutableMapping[str, Any]


class Echo:
    """A bare ASGI application."""

    def __init__(self, answer: bytes) -> None:
        self._answer = answer

    async def __call__(
        self,
        scope: MutableMapping[str, Any],
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        while (await receive()).get("more_body"):
            pass
        body = _VERDICT if scope["path"] == "/v1/batch" else self._answer
        length = str(len(body)).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", length)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


class GrpcEcho(recommend_pb2_grpc.RecommendationsServicer):
    """The same over gRPC."""

    def __init__(self, answer: recommend_pb2.RecommendResponse) -> None:
        self._answer = answer

    async def Recommend(
        self, request: recommend_pb2.RecommendRequest, context: object
    ) -> recommend_pb2.RecommendResponse:
        return self._answer


async def serve(http_port: int, grpc_port: int, answer: bytes) -> None:
    """Serve both until cancelled."""
    from google.protobuf import json_format

    server = grpc.aio.server()
    message = recommend_pb2.RecommendResponse()
    json_format.Parse(answer, message, ignore_unknown_fields=True)
    recommend_pb2_grpc.add_RecommendationsServicer_to_server(GrpcEcho(message), server)  # type: ignore[no-untyped-call]
    server.add_insecure_port(f"127.0.0.1:{grpc_port}")
    await server.start()
    config = uvicorn.Config(
        Echo(answer), host="127.0.0.1", port=http_port, log_level="error", lifespan="off"
    )
    await uvicorn.Server(config).serve()
    await server.stop(None)


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]).read_bytes()))
