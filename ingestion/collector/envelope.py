"""A request's body becomes the raw bytes of each of its events. Pure.

What cannot be understood here is the fault of the whole request; what is inside an event is
judged later, one by one.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import Any

import msgspec

from ingestion.collector.fields import check_shape
from ingestion.collector.limits import Limits, Refused
from ingestion.collector.split import NotSplittable, elements, members


class EnvelopeRefused(Refused):
    """The request as a whole cannot be taken; `status` is the HTTP status that says why."""

    def __init__(self, status: int, code: str, hint: str) -> None:
        self.status = status
        super().__init__(code, hint)


@dataclass(frozen=True, slots=True)
class Envelope:
    """The events of one request as they came, and what it states for all of them."""

    events: list[bytes]
    sent_at: str | None = None
    context: dict[str, Any] | None = None
    write_key: str | None = None


class _Batch(msgspec.Struct):
    batch: list[msgspec.Raw]
    sentAt: msgspec.Raw = msgspec.Raw(b"null")
    context: msgspec.Raw = msgspec.Raw(b"null")
    writeKey: msgspec.Raw = msgspec.Raw(b"null")


class _Single(msgspec.Struct):
    writeKey: str | None = None


_batch_decoder = msgspec.json.Decoder(_Batch)
_single_decoder = msgspec.json.Decoder(_Single)
_DECODE_ERRORS = (msgspec.MsgspecError, ValueError, RecursionError)


def decompressed(body: bytes, limits: Limits) -> bytes:
    """The bytes of a gzip body; stops at the limit, so a bomb never unfolds."""
    whole = b""
    rest = body
    while rest:
        inflater = zlib.decompressobj(wbits=31)
        try:
            whole += inflater.decompress(rest, limits.batch_bytes + 1 - len(whole))
        except zlib.error:
            raise EnvelopeRefused(
                400, "gzip_invalid", "the body is not gzip, as Content-Encoding says it is"
            ) from None
        if len(whole) > limits.batch_bytes:
            raise too_large(limits)
        if not inflater.eof:
            raise EnvelopeRefused(400, "gzip_invalid", "the gzip body ends too early")
        rest = inflater.unused_data
    return whole


def too_large(limits: Limits) -> EnvelopeRefused:
    """The refusal of a body that is over the limit, before or after decompression."""
    return EnvelopeRefused(
        413,
        "batch_too_large",
        f"a request may hold {limits.batch_bytes} bytes, also after decompression; send less "
        "events in each",
    )


def single(body: bytes) -> Envelope:
    """The envelope of a call that is itself the event, such as /v1/track."""
    try:
        key = _single_decoder.decode(body).writeKey
    except _DECODE_ERRORS:
        key = None  # Not ours to judge: the event gets its verdict like any other.
    return Envelope([body], write_key=key)


def batch(body: bytes, limits: Limits) -> Envelope:
    """The envelope of /v1/batch; raises EnvelopeRefused when there is no array of events."""
    try:
        found = _batch_decoder.decode(body)
        events = [bytes(event) for event in found.batch]
        others = (bytes(found.sentAt), bytes(found.context), bytes(found.writeKey))
    except _DECODE_ERRORS:
        events, others = _salvaged(body)
    if len(events) > limits.batch_events:
        raise EnvelopeRefused(
            413,
            "too_many_events",
            f"{len(events)} events in one batch; at most {limits.batch_events} are taken",
        )
    sent_at, context, write_key = others
    key = _value(write_key)
    sent = _value(sent_at)
    return Envelope(
        events,
        sent_at_text(sent),
        _shared_context(context, limits),
        key if isinstance(key, str) else None,
    )


def sent_at_text(value: object) -> str | None:
    """The time of sending as text for every event of a request, unparsed.

    What cannot be a time becomes a short text that is none, so that each event that needs it
    says so, and a long one is not copied with every event.
    """
    if value is None or value == "":
        return None
    return value if isinstance(value, str) and len(value) <= 64 else "no time"


def _salvaged(body: bytes) -> tuple[list[bytes], tuple[bytes, bytes, bytes]]:
    """The events of a batch in which not all is JSON."""
    try:
        held = members(body)
    except NotSplittable as error:
        raise EnvelopeRefused(
            400, "json_invalid", f"the body is not a JSON object in UTF-8: {error}"
        ) from None
    try:
        events = elements(held[b"batch"])
    except (KeyError, NotSplittable):
        raise EnvelopeRefused(
            422, "batch_missing", 'send {"batch": [event, ...]}: there is no array named batch'
        ) from None
    null = b"null"
    others = (held.get(b"sentAt", null), held.get(b"context", null), held.get(b"writeKey", null))
    return events, others


def _shared_context(raw: bytes, limits: Limits) -> dict[str, Any] | None:
    refusal = EnvelopeRefused(
        422,
        "context_invalid",
        f"the batch's context must be a JSON object of at most {limits.context_bytes} bytes, "
        f"{limits.depth} levels and whole numbers within 64 bits",
    )
    if len(raw) > limits.context_bytes:
        raise refusal
    try:
        context = msgspec.json.decode(raw, type=dict[str, Any] | None)
        if context:
            check_shape(context, limits.depth)
    except (*_DECODE_ERRORS, Refused):
        raise refusal from None
    return context or None


def _value(raw: bytes) -> object:
    """A member's value; a member that is not JSON counts as one of the wrong type."""
    try:
        return msgspec.json.decode(raw)
    except _DECODE_ERRORS:
        return False
