"""Whether a gRPC message says what a JSON answer says, field by field.

It goes by the names of both sides and not through `serving.wire`, so a field that the
translation forgets is a difference.
"""

from __future__ import annotations

from typing import Any

from google.protobuf.message import Message


def differences(shown: dict[str, Any], message: Message, at: str = "answer") -> list[str]:
    """Each place where they differ, in words; empty when they say the same."""
    fields = {field.name: field for field in message.DESCRIPTOR.fields}
    if set(shown) != set(fields):
        return [f"{at}: fields {sorted(set(shown) ^ set(fields))} stand on one side only"]
    found: list[str] = []
    for name, value in shown.items():
        other, place = getattr(message, name), f"{at}.{name}"
        if value is None:
            absent = not message.HasField(name) if fields[name].has_presence else other == ""
            found += [] if absent else [f"{place}: null, but {other!r}"]
        elif isinstance(value, dict) and not isinstance(other, Message):  # a map
            found += [] if value == dict(other) else [f"{place}: {value!r}, but {dict(other)!r}"]
        elif isinstance(value, dict):
            found += differences(value, other, place)
        elif isinstance(value, list):
            if len(value) != len(other):
                found.append(f"{place}: {len(value)} entries, but {len(other)}")
            for number, (one, two) in enumerate(zip(value, other, strict=False)):
                if isinstance(one, dict):
                    found += differences(one, two, f"{place}[{number}]")
                elif one != two:
                    found.append(f"{place}[{number}]: {one!r}, but {two!r}")
        elif value != other:
            found.append(f"{place}: {value!r}, but {other!r}")
    return found
