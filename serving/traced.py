"""A trace that a caller began goes on in the answer: HTTP's door."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nearline import tracing

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

_KNOWN = ("recommend", "churn", "tags", "scores")


class Traced:
    """One span for each question; its name is the service's, since a path may name a customer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        words = scope["path"].split("/") if scope["type"] == "http" else []
        if len(words) < 3 or words[2] not in _KNOWN:
            await self._app(scope, receive, send)
            return
        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        with tracing.begun_elsewhere(headers, words[2]):
            await self._app(scope, receive, send)
