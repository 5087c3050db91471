"""One event of the wire becomes an Event, a Rejection or a ConsentRefusal. Pure.

The wire is Segment's JSON; gRPC is turned into the same JSON before it comes here, so both
doors refuse and accept exactly the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec

from ingestion.collector.commerce import COMMERCE, Commerce, commerce_of, ga4_name
from ingestion.collector.consent import granted
from ingestion.collector.fields import check_shape, object_of, text_of
from ingestion.collector.letter import Call, letter_bytes
from ingestion.collector.limits import Limits, Refused, Withheld
from ingestion.collector.moments import instant_of, occurred_at_us
from nearline.contracts.event import ITEM_LISTED, Event
from nearline.log import ConsentRefusal, Rejection, Submission
from nearline.write_keys import WriteKey

TYPES = ("track", "identify", "page", "screen", "group", "alias")
_LONG_NUMBER = re.compile(rb"\d{19}")
_KEPT_IN_PAYLOAD = ("name", "groupId", "previousId")
_NO_LISTING = (
    "this write key may not say what items are: send item_listed from a server of the shop, under "
    "a key with lists_items true in write_keys.json (`nearline collector --show-key server`)"
)


def parse(
    raw: bytes,
    call: Call,
    key: WriteKey,
    limits: Limits,
    *,
    known_at_us: int,
    new_id: Callable[[], str],
) -> Submission:
    """Decide on one event from its JSON bytes.

    `limits` are those under the key. `new_id` names an event that was sent without a
    messageId. Consent is judged before the rest: a malformed event without consent is refused
    for that and not kept; only what is no JSON object at all goes to the dead letters unasked.
    """
    event_id: str | None = None
    try:
        event = _decode(raw)
        event_id = _echo_id(event.get("messageId"), limits)
        context = _merged_context(call, event.get("context"))
        purposes = granted(context, key)
        _check_size(raw, event, limits)
        return _event_of(event, context, purposes, call, key, limits, known_at_us, new_id)
    except Withheld as withheld:
        return ConsentRefusal(withheld.code, withheld.hint, event_id)
    except Refused as refused:
        return Rejection(refused.code, refused.hint, letter_bytes(call, raw), event_id)


def _decode(raw: bytes) -> dict[str, object]:
    try:
        event = msgspec.json.decode(raw)
    except msgspec.ValidationError:
        raise Refused("number_out_of_range", "a number is too large for a double") from None
    except RecursionError:
        raise Refused("too_deep", "the event nests objects far too deep; flatten it") from None
    except (msgspec.DecodeError, ValueError):
        raise Refused(
            "json_invalid",
            "the event is not JSON: it must be UTF-8 without NaN, Infinity, lone surrogates or "
            "unclosed brackets; check how the sender serializes it",
        ) from None
    if not isinstance(event, dict):
        raise Refused("event_invalid", "an event must be a JSON object")
    return event


def _check_size(raw: bytes, event: dict[str, object], limits: Limits) -> None:
    if len(raw) > limits.event_bytes:
        raise Refused(
            "event_too_large",
            f"the event has {len(raw)} bytes; at most {limits.event_bytes} are taken",
        )
    # Walking the event costs as much as decoding it, so look first whether it could matter.
    if raw.count(b"{") + raw.count(b"[") > limits.depth or _LONG_NUMBER.search(raw):
        check_shape(event, limits.depth)


def _event_of(
    event: dict[str, object],
    context: object,
    purposes: tuple[str, ...],
    call: Call,
    key: WriteKey,
    limits: Limits,
    known_at_us: int,
    new_id: Callable[[], str],
) -> Event:
    kind = call.type or event.get("type")
    if not isinstance(kind, str) or kind not in TYPES:
        raise Refused("type_unknown", f"type must be one of {', '.join(TYPES)}")
    user_id = text_of(event.get("userId"), "userId", limits.text_chars)
    anonymous_id = text_of(event.get("anonymousId"), "anonymousId", limits.text_chars)
    customer_id = user_id or anonymous_id
    if customer_id is None:
        raise Refused("user_missing", "send userId, or anonymousId before the customer is known")
    name = _name_of(kind, event, user_id, limits)
    if name == ITEM_LISTED and not key.lists_items:
        raise Refused("listing_not_allowed", _NO_LISTING)
    properties = object_of(event.get("properties"), "properties")
    commerce = Commerce((), None, None, properties)
    if kind == "track" and name in COMMERCE:
        commerce = commerce_of(name, properties, limits)
    response_id = text_of(properties.get("response_id"), "response_id", limits.text_chars)
    at_us = occurred_at_us(
        instant_of(event.get("timestamp", event.get("originalTimestamp")), "timestamp"),
        instant_of(event.get("sentAt", call.sent_at), "sentAt"),
        call.received_at_us,
        limits,
    )
    return Event(
        event_id=text_of(event.get("messageId"), "messageId", limits.text_chars) or new_id(),
        type=kind,
        name=name,
        customer_id=customer_id,
        occurred_at_us=at_us,
        known_at_us=known_at_us,
        source=call.source,
        anonymous_id=anonymous_id,
        lines=commerce.lines,
        value_cents=commerce.value_cents,
        currency=commerce.currency,
        consent=purposes,
        response_id=response_id,
        payload=_payload(event, context, commerce.rest),
    )


def _name_of(kind: str, event: dict[str, object], user_id: str | None, limits: Limits) -> str:
    if kind == "track":
        name = text_of(event.get("event"), "event", limits.text_chars)
        if name is None:
            raise Refused("event_missing", "a track call names its event, such as view_item")
        return ga4_name(name)
    if kind == "group" and text_of(event.get("groupId"), "groupId", limits.text_chars) is None:
        raise Refused("group_missing", "a group call needs groupId")
    if kind == "alias" and (
        user_id is None or text_of(event.get("previousId"), "previousId", limits.text_chars) is None
    ):
        raise Refused("alias_incomplete", "an alias call needs userId and previousId")
    return kind


def _payload(event: dict[str, object], context: object, rest: dict[str, object]) -> str:
    """What nothing was read from, as JSON text. An allow-list: other members are dropped."""
    rest.pop("response_id", None)
    kept: dict[str, object] = {
        "properties": rest,
        "traits": object_of(event.get("traits"), "traits"),
        # Consent is in the event itself; an address is personal and serves no purpose here.
        "context": {
            name: value
            for name, value in object_of(context, "context").items()
            if name.lower() not in ("ip", "consent")
        },
    }
    kept.update((name, event.get(name)) for name in _KEPT_IN_PAYLOAD)
    said = {name: value for name, value in kept.items() if value not in (None, {}, "")}
    return msgspec.json.encode(said).decode()


def _merged_context(call: Call, context: object) -> object:
    """The event's context over the one that its batch states for all, as Segment does."""
    if not call.context:
        return context
    if context is None:
        return call.context
    return {**call.context, **context} if isinstance(context, dict) else context


def _echo_id(value: object, limits: Limits) -> str | None:
    """The message id for the verdict of an event that may be refused for that very id."""
    try:
        return text_of(value, "messageId", limits.text_chars)
    except Refused:
        return None
