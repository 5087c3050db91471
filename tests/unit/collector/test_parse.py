from __future__ import annotations

import json
from typing import Any

import pytest

from ingestion.collector.letter import Call, letter_of
from ingestion.collector.limits import DAY_US, Limits
from ingestion.collector.parse import parse
from nearline.contracts.event import Event, Kind, Line
from nearline.log import ConsentRefusal, Rejection, Submission
from nearline.write_keys import WriteKey

NOW_US = 1_795_000_000_000_000  # 2026-11-18T11:06:40Z
APP = WriteKey(name="app")
SERVER = WriteKey(name="server", lists_items=True)
GRANTED = {"consent": {"categoryPreferences": {"Analytics": True, "personalization": True}}}


def view(**members: Any) -> dict[str, Any]:
    """A whole event; members given as ... are left out."""
    event = {
        "type": "track",
        "event": "view_item",
        "userId": "ada",
        "messageId": "m-1",
        "properties": {"items": [{"item_id": "i1"}]},
        "context": GRANTED,
        **members,
    }
    return {name: value for name, value in event.items() if value is not ...}


def judged(event: Any, key: WriteKey = APP, **call: Any) -> Submission:
    raw = event if isinstance(event, bytes) else json.dumps(event).encode()
    return parse(
        raw,
        Call("app", NOW_US, **call),
        key,
        Limits().under(key),
        known_at_us=NOW_US,
        new_id=lambda: "made",
    )


def accepted(event: Any, key: WriteKey = APP, **call: Any) -> Event:
    result = judged(event, key, **call)
    assert isinstance(result, Event), result
    return result


def code_of(event: Any, key: WriteKey = APP, **call: Any) -> str:
    result = judged(event, key, **call)
    assert isinstance(result, Rejection | ConsentRefusal), result
    return result.code


def test_a_segment_event_becomes_our_event_with_all_that_it_says() -> None:
    event = accepted(
        view(
            anonymousId="anon-7",
            timestamp="2026-11-18T11:06:39.5Z",
            properties={
                "items": [
                    {"item_id": "i1", "price": 18.99, "quantity": 2, "item_category": "shoes"}
                ],
                "currency": "eur",
                "value": "37.98",
                "response_id": "r-9",
                "page": 3,
            },
            context={**GRANTED, "ip": "203.0.113.7", "locale": "de-AT"},
        )
    )

    assert event == Event(
        event_id="m-1",
        type="track",
        name="view_item",
        customer_id="ada",
        anonymous_id="anon-7",
        occurred_at_us=NOW_US - 500_000,
        known_at_us=NOW_US,
        source="app",
        lines=(Line("i1", 2, 1_899, "shoes"),),
        value_cents=3_798,
        currency="EUR",
        consent=("analytics", "personalization"),
        response_id="r-9",
        payload='{"properties":{"page":3},"context":{"locale":"de-AT"}}',
    )


def test_an_address_is_never_kept() -> None:
    assert "203.0.113.7" not in accepted(view(context={**GRANTED, "IP": "203.0.113.7"})).payload


@pytest.mark.parametrize(
    ("segment", "ours"),
    [
        ("Product Viewed", "view_item"),
        ("product added", "add_to_cart"),
        ("Order Completed", "purchase"),
        ("PRODUCT ADDED TO WISHLIST", "add_to_wishlist"),
    ],
)
def test_segments_commerce_names_are_ga4s(segment: str, ours: str) -> None:
    event = accepted(view(event=segment, properties={"products": [{"product_id": 7}]}))

    assert event.name == ours
    assert event.kind in set(Kind)
    assert event.lines == (Line("7"),)


def test_one_item_may_lie_in_the_properties_themselves() -> None:
    event = accepted(
        view(properties={"product_id": "i9", "price": 5, "category": "toys", "coupon": "x"})
    )

    assert event.lines == (Line("i9", 1, 500, "toys"),)
    assert event.payload == '{"properties":{"coupon":"x"}}'


def test_what_is_said_of_items_beyond_our_fields_stays_in_the_payload() -> None:
    event = accepted(view(properties={"items": [{"item_id": "i1", "item_name": "Boot"}]}))

    assert event.payload == '{"properties":{"items":[{"item_name":"Boot"}]}}'


def test_the_properties_of_other_events_are_the_senders_own_affair() -> None:
    event = accepted(view(event="slider_moved", properties={"value": "high", "price": -3}))

    assert (event.name, event.lines, event.value_cents) == ("slider_moved", (), None)
    assert event.payload == '{"properties":{"value":"high","price":-3}}'


def test_before_the_customer_is_known_the_anonymous_id_stands_in() -> None:
    assert accepted(view(userId=..., anonymousId="anon-1")).customer_id == "anon-1"
    assert accepted(view(userId="", anonymousId="anon-1")).customer_id == "anon-1"


def test_a_shop_announces_items_without_a_user() -> None:
    event = accepted(view(event="item_listed", userId=..., anonymousId="shop"), SERVER)

    assert (event.kind, event.lines) == (None, (Line("i1"),))


@pytest.mark.parametrize("facts", [{}, {"stock": 0}, {"banned": False}, {"min_age": 0}])
def test_a_key_that_anybody_can_read_cannot_say_what_items_are(facts: dict[str, Any]) -> None:
    listing = view(event="item_listed", properties={"items": [{"item_id": "i1", **facts}]})

    result = judged(listing, APP)

    assert isinstance(result, Rejection)
    assert result.code == "listing_not_allowed"
    assert "lists_items" in result.hint
    letter = letter_of(result.raw)  # Nothing is lost: it can be judged again under other terms.
    assert letter is not None
    assert json.loads(letter.raw) == listing
    assert accepted(listing, SERVER).lines[0].item_id == "i1"


def test_without_consent_a_listing_is_not_even_kept() -> None:
    assert code_of(view(event="item_listed", context=...), APP) == "consent_missing"


def test_an_event_without_an_id_is_given_one() -> None:
    assert accepted(view(messageId=...)).event_id == "made"


def test_the_address_says_the_type_of_a_single_call() -> None:
    event = accepted(
        {"userId": "ada", "context": GRANTED, "traits": {"plan": "pro"}}, type="identify"
    )

    assert (event.type, event.name, event.payload) == (
        "identify",
        "identify",
        '{"traits":{"plan":"pro"}}',
    )


def test_a_batchs_context_holds_for_events_that_state_none() -> None:
    assert accepted(view(context=...), context=GRANTED).consent == ("analytics", "personalization")
    denied = {"consent": {"categoryPreferences": {"analytics": False}}}
    assert code_of(view(context=denied), context=GRANTED) == "consent_denied"


@pytest.mark.parametrize("kind", ["track", "identify", "group", "alias", "page", "screen"])
def test_consent_comes_first_for_every_type(kind: str) -> None:
    for context in ({}, ..., None, 3, {"consent": True}, {"consent": {"categoryPreferences": []}}):
        assert code_of(view(type=kind, context=context)) == "consent_missing"


@pytest.mark.parametrize("answer", [False, "true", 1, None])
def test_only_a_literal_true_grants(answer: object) -> None:
    context = {"consent": {"categoryPreferences": {"analytics": answer, "personalization": True}}}

    assert code_of(view(context=context)) == "consent_denied"


def test_a_malformed_event_without_consent_is_refused_for_consent_and_not_kept() -> None:
    result = judged(view(context={}, userId=..., properties=3))

    assert isinstance(result, ConsentRefusal)


def test_a_key_may_assume_consent_but_a_stated_no_wins() -> None:
    key = WriteKey(name="app", consent="assumed", assumed_purposes=("analytics", "marketing"))

    assert accepted(view(context=...), key).consent == ("analytics", "marketing")
    no = {"consent": {"categoryPreferences": {"analytics": False}}}
    assert code_of(view(context=no), key) == "consent_denied"


BAD_EVENTS = {
    "json_invalid": b"{",
    "event_invalid": b"[1]",
    "number_out_of_range": json.dumps(view(properties={"x": 2**63})).encode(),
    "user_missing": json.dumps(view(userId=...)).encode(),
    "type_unknown": json.dumps(view(type="tracks")).encode(),
    "event_missing": json.dumps(view(event=None)).encode(),
    "items_missing": json.dumps(view(properties={})).encode(),
    "group_missing": json.dumps(view(type="group")).encode(),
    "alias_incomplete": json.dumps(view(type="alias")).encode(),
    "time_invalid": json.dumps(view(timestamp="yesterday")).encode(),
    "event_too_large": json.dumps(view(properties={"x": "y" * 33_000})).encode(),
}


@pytest.mark.parametrize("code", BAD_EVENTS)
def test_a_bad_event_is_rejected_with_its_bytes_and_a_hint(code: str) -> None:
    result = judged(BAD_EVENTS[code])

    assert isinstance(result, Rejection)
    assert result.code == code
    assert len(result.hint) > 20
    letter = letter_of(result.raw)
    assert letter is not None
    assert letter.raw == BAD_EVENTS[code]


@pytest.mark.parametrize(
    "number",
    [b"NaN", b"Infinity", b"-Infinity", b"1e400", b"-1e999", b'"\\ud800"', b'"\xff"', b"01"],
)
def test_what_json_does_not_know_is_rejected(number: bytes) -> None:
    raw = json.dumps(view(properties={"items": [{"item_id": "i1"}], "x": "HERE"})).encode()

    assert code_of(raw.replace(b'"HERE"', number)) in ("json_invalid", "number_out_of_range")


def test_whole_numbers_within_64_bits_are_taken() -> None:
    properties = {"items": [{"item_id": 2**63 - 1}], "x": -(2**63)}

    assert accepted(view(properties=properties)).lines == (Line(str(2**63 - 1)),)
    assert code_of(view(userId=2**64)) == "number_out_of_range"


@pytest.mark.parametrize("field", ["userId", "anonymousId", "messageId"])
def test_ids_are_short_printable_text(field: str) -> None:
    accepted(view(**{field: "x" * 256}))
    accepted(view(**{field: "顾客 1"}))
    assert code_of(view(**{field: "x" * 257})) == "field_too_long"
    for bad in ("a\x00b", "a\nb", "\x85", "  ", 1.5, True, ["a"], {"a": 1}):
        assert code_of(view(**{field: bad})) == "field_invalid"


def test_depth_is_counted_with_the_event_as_the_first_level() -> None:
    def nested(levels: int) -> dict[str, Any]:
        holder: dict[str, Any] = {}
        for _ in range(levels - 1):
            holder = {"x": holder}
        return holder

    # The event and its properties are two levels.
    accepted(view(properties={"items": [{"item_id": "i1"}], "deep": nested(14)}))
    assert (
        code_of(view(properties={"items": [{"item_id": "i1"}], "deep": nested(15)})) == "too_deep"
    )
    assert code_of(b"[" * 100_000) in ("too_deep", "json_invalid")


def test_brackets_in_text_are_not_depth() -> None:
    accepted(view(properties={"items": [{"item_id": "i1"}], "text": "[" * 100}))


def test_200_items_are_taken_and_201_are_not() -> None:
    accepted(view(properties={"items": [{"item_id": "i"}] * 200}))
    assert code_of(view(properties={"items": [{"item_id": "i"}] * 201})) == "too_many_items"


@pytest.mark.parametrize(
    ("properties", "code"),
    [
        ({"price": -0.01}, "amount_invalid"),
        ({"price": 1e11}, "amount_invalid"),
        ({"price": "1,50"}, "amount_invalid"),
        ({"price": True}, "amount_invalid"),
        ({"value": -1}, "amount_invalid"),
        ({"quantity": 0}, "quantity_invalid"),
        ({"quantity": -1}, "quantity_invalid"),
        ({"quantity": 1.5}, "quantity_invalid"),
        ({"quantity": 100_001}, "quantity_invalid"),
        ({"quantity": "many"}, "quantity_invalid"),
        ({"currency": "euro"}, "currency_invalid"),
        ({"currency": 978}, "currency_invalid"),
        ({"category": "x" * 257}, "field_too_long"),
        ({"items": [3]}, "items_invalid"),
        ({"items": [{"price": 1}]}, "items_invalid"),
        ({"items": {"item_id": "i1"}}, "items_invalid"),
    ],
)
def test_absurd_amounts_and_items_are_rejected(properties: dict[str, Any], code: str) -> None:
    assert code_of(view(properties={"item_id": "i1", **properties})) == code


def test_a_key_may_widen_its_own_limits() -> None:
    wide = WriteKey(name="app", max_event_bytes=64_000, max_age_days=90)
    large = view(properties={"item_id": "i1", "x": "y" * 40_000})
    old = view(timestamp="2026-10-01T00:00:00Z")

    assert code_of(large) == "event_too_large"
    assert code_of(old) == "time_too_old"
    accepted(large, wide)
    assert accepted(old, wide).occurred_at_us < NOW_US - 45 * DAY_US
