"""Ids and texts of an event: present or not, and fit to be a key everywhere behind the log."""

from __future__ import annotations

import re

from ingestion.collector.limits import Refused

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_INT64 = range(-(2**63), 2**63)


def text_of(value: object, field: str, limit: int) -> str | None:
    """The value as text, or None where it is absent, null or empty.

    Whole numbers within 64 bits are taken as their digits, since many senders have numeric
    ids. Raises Refused for other types, blank text, control characters and more than `limit`
    characters.
    """
    if value is None or value == "":
        return None
    if isinstance(value, int) and not isinstance(value, bool) and value in _INT64:
        return str(value)
    if not isinstance(value, str):
        raise Refused("field_invalid", f"{field} must be text, not {type(value).__name__}")
    if len(value) > limit:
        raise Refused(
            "field_too_long", f"{field} has {len(value)} characters; at most {limit} are taken"
        )
    if _CONTROL.search(value):
        raise Refused("field_invalid", f"{field} holds a control character; send it without")
    if value.isspace():
        raise Refused("field_invalid", f"{field} is blank; send an id, or leave it out")
    return value


def object_of(value: object, field: str) -> dict[str, object]:
    """The value as a JSON object; {} where it is absent or null. Raises Refused otherwise."""
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Refused("field_invalid", f"{field} must be a JSON object")
    return value


def check_shape(event: dict[str, object], depth_limit: int) -> None:
    """Refuse deeper nesting than the limit, and whole numbers beyond 64 bits."""
    level: list[object] = [event]
    depth = 0
    while level:
        depth += 1
        if depth > depth_limit:
            raise Refused(
                "too_deep", f"the event nests objects deeper than {depth_limit} levels; flatten it"
            )
        below: list[object] = []
        for holder in level:
            values = holder.values() if isinstance(holder, dict) else holder
            for value in values:  # type: ignore[attr-defined]
                if isinstance(value, dict | list):
                    below.append(value)
                elif isinstance(value, int) and value not in _INT64:
                    raise Refused(
                        "number_out_of_range",
                        "a whole number is beyond 64 bits; send it as text",
                    )
        level = below
