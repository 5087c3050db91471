"""Find the members of a JSON object, and the elements of an array, when not all of it is JSON.

Decoding a batch fails as a whole when one event holds a NaN. This follows only strings and
brackets, so that everything between two commas of the array is one event, good or bad.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

# A whole string, or one structural character; an unclosed string shows as a lone quote.
_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|["\[\]{},:]', re.DOTALL)
_OPENER = {b"]": b"[", b"}": b"{"}


class NotSplittable(ValueError):
    """The brackets or quotes of the envelope itself do not match."""


def members(body: bytes) -> dict[bytes, bytes]:
    """The members of the top-level object: raw key without quotes -> raw value."""
    found: dict[bytes, bytes] = {}
    for part in _parts(body, b"{"):
        match = _TOKEN.match(part)
        rest = part[match.end() :].lstrip() if match else b""
        if match is None or not rest.startswith(b":"):
            raise NotSplittable("a member has no key")
        found[match[0][1:-1]] = rest[1:].strip()
    return found


def elements(array: bytes) -> list[bytes]:
    """The raw elements of a JSON array, in order; those that are not JSON among them."""
    return list(_parts(array, b"["))


def _parts(text: bytes, opener: bytes) -> Iterator[bytes]:
    """What lies between the commas of the outermost bracket, which must be `opener`."""
    text = text.strip()
    if not text.startswith(opener):
        raise NotSplittable("the outermost bracket is another")
    open_brackets: list[bytes] = []
    held = {b"[": 0, b"{": 0}  # How many of each are open: searching the list costs its length.
    start = 1
    for match in _TOKEN.finditer(text):
        token = match[0]
        if token in (b"[", b"{"):
            open_brackets.append(token)
            held[token] += 1
        elif token in (b"]", b"}"):
            _close(open_brackets, held, _OPENER[token])
            if not open_brackets:
                last = text[start : match.start()].strip()
                if text[match.end() :].strip():
                    raise NotSplittable("text follows the outermost bracket")
                if last or start > 1:
                    yield last
                return
        elif token == b"," and len(open_brackets) == 1:
            yield text[start : match.start()].strip()
            start = match.end()
        elif token == b'"':
            raise NotSplittable("a string is not closed")
    raise NotSplittable("a bracket is not closed")


def _close(open_brackets: list[bytes], held: dict[bytes, int], opener: bytes) -> None:
    """Close the innermost bracket of that kind, and with it what an event left open inside."""
    if not held[opener]:
        raise NotSplittable("a bracket closes that was not open")
    closed = b""
    while closed != opener:
        closed = open_brackets.pop()
        held[closed] -= 1
