"""The floor of Ray Serve: its proxy, its modes and as many replicas as ours, with nothing behind.

Run as `python -m serving.echo` with an `Echo` on stdin; prints `{}` when it answers, and stops
when stdin's writer or a signal ends it. What it answers is a recommendation as the real API gave
it, so both send the same bytes.
"""

from __future__ import annotations

import signal
import sys
from typing import Any

import msgspec
from fastapi import FastAPI, Request, Response

from nearline import settings
from nearline.stopping import SIGNALS, StopFlag
from serving import workers
from serving.config import ServingConfig


class Echo(msgspec.Struct, frozen=True):
    """The bytes that every question is answered with."""

    answer: str


def graph(config: ServingConfig, answer: bytes) -> Any:
    """A Serve application that answers every question with the same bytes."""
    from ray import serve

    app = FastAPI()

    @app.post("/v1/recommend")
    async def recommend(request: Request) -> Response:
        await request.body()
        return Response(answer, media_type="application/json")

    @app.get("/healthz")
    async def healthz() -> Response:
        return Response(b"{}", media_type="application/json")

    @serve.deployment(name="Echo", num_replicas=config.replicas, max_ongoing_requests=2_000)
    @serve.ingress(app)
    class Door:
        """Serve's own way to a FastAPI application."""

    door: Any = Door
    return door.bind()


def main() -> None:
    """Serve on the settings' ports until told to stop."""
    from serving.server import running

    workers.stay_lean()
    echo = msgspec.json.decode(sys.stdin.buffer.read(), type=Echo)
    stop = StopFlag()
    with running(settings.load(), app=lambda config: graph(config, echo.answer.encode())):
        for number in SIGNALS:
            signal.signal(number, lambda *_: stop.set())
        sys.stdout.write("{}\n")
        sys.stdout.flush()
        stop.wait()


if __name__ == "__main__":
    main()
