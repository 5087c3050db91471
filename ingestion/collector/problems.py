"""Errors as RFC 9457 problem details."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus

import msgspec
from starlette.responses import Response

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 2

SCHEMA: dict[str, object] = {
    "type": "object",
    "description": "RFC 9457 problem details.",
    "required": ["type", "title", "status", "detail", "code"],
    "properties": {
        "type": {"type": "string", "description": "urn:nearline:problem:<code>"},
        "title": {"type": "string", "description": "What the status means."},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "detail": {"type": "string", "description": "What happened and what to do."},
        "code": {"type": "string", "description": "A stable word for programs."},
        "verdicts": {
            "type": "array",
            "description": "Where an event was judged: its verdict, as in a 200.",
            "items": {"$ref": "#/components/schemas/VerdictOut"},
        },
    },
}


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    headers: Mapping[str, str] | None = None,
    verdicts: Sequence[msgspec.Struct] | None = None,
) -> Response:
    """The response; 503 says when to come back, 401 how to sign in."""
    content: dict[str, object] = {
        "type": f"urn:nearline:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
    }
    if verdicts is not None:
        content["verdicts"] = verdicts
    said = dict(headers or {})
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        said.setdefault("Retry-After", str(RETRY_AFTER_S))
    if status == HTTPStatus.UNAUTHORIZED:
        said.setdefault("WWW-Authenticate", 'Basic realm="nearline write key"')
    return Response(msgspec.json.encode(content), status, said, MEDIA_TYPE)
