"""Who sends: the write key of a request, from Basic authorization or from the body."""

from __future__ import annotations

import base64
import binascii


def basic_key(authorization: str | None) -> str | None:
    """The write key in `Basic base64(key:)`, as Segment's libraries send it; None in all else."""
    scheme, _, encoded = (authorization or "").strip().partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        text = base64.b64decode(encoded.strip(), validate=True).decode()
    except (binascii.Error, ValueError):
        return None
    return text.partition(":")[0] or None
