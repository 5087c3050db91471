"""The floor of a web framework: FastAPI that gives one stored answer without any work.

Run as `python -m nearline.bench.fastapi_echo PORT ANSWER.json`; one process of uvicorn.
"""

from __future__ import annotations

import sys
from pathlib import Path

import uvicorn
from fastapi import FastAPI, Request, Response


def build(answer: bytes) -> FastAPI:
    """The application."""
    app = FastAPI()

    @app.post("/v1/recommend")
    async def recommend(request: Request) -> Response:
        await request.body()
        return Response(answer, media_type="application/json")

    return app


if __name__ == "__main__":
    uvicorn.run(
        build(Path(sys.argv[2]).read_bytes()),
        host="127.0.0.1",
        port=int(sys.argv[1]),
        log_level="error",
    )
