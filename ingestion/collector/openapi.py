"""What the OpenAPI document says of each call; the handlers parse bodies themselves."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from ingestion.collector.problems import MEDIA_TYPE, SCHEMA

VERDICT: dict[str, Any] = {
    "type": "object",
    "description": "What became of one event.",
    "required": ["outcome", "messageId", "position", "code", "hint"],
    "properties": {
        "outcome": {
            "type": "string",
            "enum": ["accepted", "duplicate", "rejected", "consent_refused"],
        },
        "messageId": {"type": ["string", "null"]},
        "position": {
            "type": ["string", "null"],
            "description": "Log token of an accepted event: partition-ms-counter.",
        },
        "code": {"type": ["string", "null"], "description": "Of a refusal: a stable word."},
        "hint": {"type": ["string", "null"], "description": "What to mend in the sender."},
    },
}
TAKEN: dict[str, Any] = {
    "type": "object",
    "required": ["success", "verdicts"],
    "properties": {
        "success": {"const": True},
        "verdicts": {"type": "array", "items": {"$ref": "#/components/schemas/VerdictOut"}},
    },
}
LISTING: dict[str, Any] = {
    "items": [
        {
            "item_id": "i42",
            "item_category": "wine",
            "price": 18.99,
            "stock": 12,
            "rating": 4.35,
            "banned": False,
            "min_age": 18,
            "repurchase_days": 14,
        }
    ],
    "currency": "EUR",
}
EVENT: dict[str, Any] = {
    "type": "object",
    "description": (
        "One call in Segment's format. Each event is judged by itself: what breaks a rule gets "
        "the verdict `rejected` with a code and a hint."
    ),
    "properties": {
        # No types here: a wrong one is the event's fault, not the request's.
        "type": {"description": "In a batch: track, identify, page, screen, group or alias."},
        "event": {"description": "Of a track call: its name, such as view_item."},
        "userId": {"description": "The customer; text of at most 256 characters."},
        "anonymousId": {"description": "Before the customer is known."},
        "messageId": {"description": "Known for 8 days: the same id again is a duplicate."},
        "timestamp": {"description": "RFC 3339 with its zone; absent means now."},
        "sentAt": {"description": "The sender's clock at sending, to correct it by."},
        "properties": {
            "description": (
                "GA4's items, value, currency, or Segment's products, revenue, total. In "
                "item_listed, by which a shop announces items and says what has changed (under a "
                "write key that may list items, never a page's), each item may also state, for the "
                "rules: stock (or quantity_available), in units, or "
                "availability: in_stock, out_of_stock, preorder, backorder; rating, 0 to 5 stars; "
                "banned, true or false; min_age, in years; repurchase_days, after which its buyer "
                "may be offered it again (0: never). What is not stated stays as it was. Its price "
                "and category stand above what all other events say of the item."
            ),
            "examples": [LISTING],
        },
        "traits": {"description": "Of identify and group calls."},
        "context": {
            "description": (
                'consent.categoryPreferences grants purposes: {"analytics": true, '
                '"personalization": true}. An ip is not kept.'
            )
        },
        "groupId": {"description": "Of a group call."},
        "previousId": {"description": "Of an alias call: the id until now."},
        "writeKey": {"description": "Where there is no Basic authorization."},
    },
}
_COMMON = {
    "userId": "ada",
    "messageId": "m-1",
    "context": {"consent": {"categoryPreferences": {"analytics": True, "personalization": True}}},
}
_EXAMPLES: dict[str, dict[str, Any]] = {
    "track": {
        "event": "view_item",
        "properties": {"items": [{"item_id": "i42", "price": 18.99}], "currency": "EUR"},
    },
    "identify": {"traits": {"plan": "pro"}},
    "page": {"name": "Home", "properties": {"path": "/"}},
    "screen": {"name": "Home"},
    "group": {"groupId": "g-1", "traits": {"name": "Friends"}},
    "alias": {"previousId": "anonymous-7"},
}
BATCH: dict[str, Any] = {
    "type": "object",
    "required": ["batch"],
    "properties": {
        "batch": {
            "type": "array",
            "maxItems": 2500,
            "description": "Events; each element gets a verdict, at the same place.",
            "items": {},
        },
        "sentAt": {"description": "For all events that do not state their own."},
        "context": {
            "type": ["object", "null"],
            "description": "For all events; an event's own members win. At most 8 KB.",
        },
        "writeKey": {"description": "Where there is no Basic authorization."},
    },
}

_WHY = {
    400: "Not JSON; or, for a single call, its event was rejected.",
    401: "No such write key.",
    408: "The body did not arrive in time.",
    413: "Too large: 500 KB a request, 2,500 events, 32 KB an event.",
    415: "Not JSON by its Content-Type, or an encoding other than gzip.",
    422: "JSON, but not a batch.",
    503: "The event log is down; send again after Retry-After.",
}


def single_call(kind: str) -> dict[str, Any]:
    """Route options of `/v1/<kind>`."""
    return {
        "operation_id": kind,
        "summary": f"Take one {kind} event",
        "tags": ["events"],
        "responses": _responses(_json("Taken"), 400, 401, 408, 413, 415, 503),
        "openapi_extra": {
            "requestBody": _body("SegmentEvent", {**_COMMON, **_EXAMPLES[kind]}),
            "security": _SECURITY,
        },
    }


def batch_call(name: str) -> dict[str, Any]:
    """Route options of `/v1/batch` and its alias."""
    return {
        "operation_id": name,
        "summary": "Take many events, with a verdict for each",
        "tags": ["events"],
        "responses": _responses(_json("Taken"), 400, 401, 408, 413, 415, 422, 503),
        "openapi_extra": {
            "requestBody": _body(
                "Batch", {"batch": [{"type": "track", **_COMMON, **_EXAMPLES["track"]}]}
            ),
            "security": _SECURITY,
        },
    }


def healthz() -> dict[str, Any]:
    """Route options of `/healthz`."""
    ok: dict[str, Any] = {"type": "object", "required": ["status"]}
    ok["properties"] = {"status": {"const": "ok"}}
    return {
        "operation_id": "healthz",
        "summary": "Whether events are taken now",
        "tags": ["operation"],
        "responses": _responses({"application/json": {"schema": ok}}, 503),
    }


def metrics() -> dict[str, Any]:
    """Route options of `/metrics`."""
    return {
        "operation_id": "metrics",
        "summary": "Prometheus metrics",
        "tags": ["operation"],
        "responses": _responses({"text/plain": {"schema": {"type": "string"}}}),
    }


def document(app: FastAPI) -> dict[str, Any]:
    """The whole document, made once."""
    if app.openapi_schema is None:
        from nearline import __version__

        made = get_openapi(
            title=app.title, version=__version__, routes=app.routes, description=_ABOUT
        )
        made["components"] = {
            "schemas": {
                "Problem": SCHEMA,
                "VerdictOut": VERDICT,
                "Taken": TAKEN,
                "SegmentEvent": EVENT,
                "Batch": BATCH,
            },
            "securitySchemes": {
                "WriteKey": {
                    "type": "http",
                    "scheme": "basic",
                    "description": "The write key as user name, with an empty password.",
                }
            },
        }
        app.openapi_schema = made
    return app.openapi_schema


_ABOUT = (
    "Takes events in Segment's wire format. Each event gets a verdict; acknowledged means on disk."
)
_SECURITY: list[dict[str, list[str]]] = [{"WriteKey": []}]


def _json(schema: str) -> dict[str, Any]:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}


def _body(schema: str, example: dict[str, Any]) -> dict[str, Any]:
    content = _json(schema)
    content["application/json"]["example"] = example
    return {"required": True, "content": content}


def _responses(success: dict[str, Any], *refusals: int) -> dict[int | str, dict[str, Any]]:
    found: dict[int | str, dict[str, Any]] = {200: {"description": "Done.", "content": success}}
    for status in refusals:
        content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
        found[status] = {"description": _WHY[status], "content": content}
    return found
