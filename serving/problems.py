"""RFC 9457 problem documents: one shape for every refusal over HTTP.

`problem` is pure; `install` teaches a FastAPI app to answer every error with one. No problem
ever repeats a value that the caller sent, which may be personal; nor does the log of a bug.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping, MutableMapping, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from nearline.logs import where

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

MEDIA_TYPE = "application/problem+json"
SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "code"],
    "properties": {
        "type": {"type": "string"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "code": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"field": {"type": "string"}, "hint": {"type": "string"}},
            },
        },
    },
}

BROKEN = "Nearline failed here; its log says where."

logger = logging.getLogger(__name__)


def problem(
    status: int, code: str, detail: str, errors: Sequence[Mapping[str, str]] = ()
) -> dict[str, Any]:
    """The document: a stable `code` for programs, a `detail` for people.

    `errors` names each field that must be mended, as `{"field": ..., "hint": ...}`.
    """
    document: dict[str, Any] = {
        "type": f"urn:nearline:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
    }
    return document | ({"errors": [dict(error) for error in errors]} if errors else {})


def respond(
    status: int,
    code: str,
    detail: str,
    errors: Sequence[Mapping[str, str]] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The document as a response."""
    from starlette.responses import Response

    return Response(
        json.dumps(problem(status, code, detail, errors)),
        status_code=status,
        media_type=MEDIA_TYPE,
        headers=dict(headers or {}),
    )


def install(app: FastAPI, patterns: Mapping[str, str]) -> None:
    """Answer every error of the app with a problem: refusals, unknown paths, bugs.

    `patterns` has words for each pattern that a text may have to fit.
    """
    from fastapi.exceptions import RequestValidationError
    from starlette.exceptions import HTTPException
    from starlette.requests import Request

    async def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        status = error.status_code
        code, detail = _WORDS.get(status, ("refused", error.detail))
        headers = dict(error.headers or {})
        if status == HTTPStatus.METHOD_NOT_ALLOWED:
            # The router knows the methods of the first route only; a path may have several.
            headers["Allow"] = ", ".join(sorted(_methods(app, request.scope)))
        return respond(status, code, detail or error.detail, headers=headers)

    async def invalid(_: Request, error: Exception) -> Response:
        assert isinstance(error, RequestValidationError)
        found = error.errors()
        errors = [{"field": _path(one["loc"]), "hint": _hint(one, patterns)} for one in found]
        return respond(422, "invalid_request", "{field}: {hint}".format(**errors[0]), errors)

    app.add_exception_handler(HTTPException, refused)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_middleware(Shield)


class Shield:
    """Turns a bug into a problem, and logs its places.

    Starlette's own handler raises the error again, so that servers would log its text.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def sending(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except Exception as error:
            logger.error("a request failed: %s", where(error))
            if started or scope["type"] != "http":
                raise  # The caller has half an answer: only a broken connection tells so.
            await respond(500, "internal", BROKEN)(scope, receive, send)


def _methods(app: FastAPI, scope: MutableMapping[str, Any]) -> set[str]:
    from starlette.routing import Match, Route

    return {
        method
        for route in app.routes
        if isinstance(route, Route) and route.matches(scope)[0] is not Match.NONE
        for method in route.methods or ()
    }


def _path(location: Sequence[object]) -> str:
    """Where a field lies: numbers and plain names, never a value or an odd name of the caller's.

    The names of headers are never the caller's: others than the API's own are passed over.
    """
    ours = location[0] == "header"
    return ".".join(
        str(part) for part in location if isinstance(part, int) or ours or _is_name(part)
    )


def _hint(found: Mapping[str, Any], patterns: Mapping[str, str]) -> str:
    """What to do about one field; pydantic's own words where no others say it better."""
    more = found.get("ctx", {})
    match found["type"]:
        case "value_error":
            return str(more["error"])
        case "string_pattern_mismatch":
            return patterns.get(more["pattern"], str(found["msg"]))
        case "json_invalid":
            return "is no JSON from here on: send one object in UTF-8"
        case "model_attributes_type":
            return "is no JSON object: send one, with Content-Type: application/json"
        case "extra_forbidden":
            return "no such field: look at its spelling in GET /openapi.json"
    return str(found["msg"]).removeprefix("Input ").replace(" after validation", "")


def _is_name(part: object) -> bool:
    return isinstance(part, str) and part.isascii() and part.isidentifier() and len(part) <= 40


_WORDS = {
    400: ("bad_request", "The body cannot be read: send JSON in UTF-8."),
    401: ("unauthorized", "Say who you are: the write key goes into Basic authorization."),
    404: ("not_found", "Nothing answers at this path; GET /openapi.json lists what does."),
    405: ("method_not_allowed", "This path answers other methods; the Allow header lists them."),
    413: ("too_large", ""),  # What raises it knows the limit.
    429: ("overloaded", "More is asked than can be answered in time; ask again soon."),
    415: ("unsupported_media_type", "Send application/json."),
    503: ("unavailable", "A part that this needs is not there yet; try again soon."),
}
