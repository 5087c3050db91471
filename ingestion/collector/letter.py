"""A dead letter: the refused bytes with all that is needed to judge them again."""

from __future__ import annotations

from typing import Any

import msgspec


class Call(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is known of the request that brought an event.

    `type` is set when the address says it (`/v1/track`); in a batch each event does. `sent_at`
    and `context` are what the request states for all its events; the time is not yet parsed.
    """

    source: str  # The write key's name.
    received_at_us: int
    type: str | None = None
    sent_at: str | None = None
    context: dict[str, Any] | None = None


class DeadLetter(msgspec.Struct, frozen=True, array_like=True):
    """A refused event: its call and its bytes as they came."""

    call: Call
    raw: bytes


_decoder = msgspec.msgpack.Decoder(DeadLetter)


def letter_bytes(call: Call, raw: bytes) -> bytes:
    """The letter as it lies in the dead-letter stream (MessagePack)."""
    return msgspec.msgpack.encode(DeadLetter(call, bytes(raw)))


def letter_of(data: bytes) -> DeadLetter | None:
    """The reverse; None for bytes that another writer left in the stream."""
    try:
        return _decoder.decode(data)
    except (msgspec.MsgspecError, ValueError):
        return None
