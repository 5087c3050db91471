"""The largest body that the HTTP door reads: what is longer is refused before it fills memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

# The longest lists of ids (`serving.requests.MAX_IDS_BYTES`), each ASCII character escaped with 6
# bytes though nobody need do that, are 480 kB.
MAX_BODY_BYTES = 600_000


class BodyLimit:
    """Counts what arrives, whatever its header says; beyond the limit the answer is 413."""

    def __init__(self, app: ASGIApp, limit_bytes: int = MAX_BODY_BYTES) -> None:
        self._app, self._limit_bytes = app, limit_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        arrived = 0

        async def receiving() -> Message:
            nonlocal arrived
            message = await receive()
            arrived += len(message.get("body", b""))
            if arrived > self._limit_bytes:
                raise HTTPException(
                    413, f"The body is larger than the {self._limit_bytes:,} bytes that are taken."
                )
            return message

        await self._app(scope, receiving, send)
