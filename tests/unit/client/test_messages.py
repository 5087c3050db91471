from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from nearline.client import messages
from nearline.client.errors import EventTooLarge

AT = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
ALLOWED = {"analytics": True, "personalization": True}


def test_without_a_word_on_consent_a_message_claims_none() -> None:
    message = messages.track("c-1", "view_item", message_id="m", at=AT, consent=None)

    assert message["context"] == {"library": {"name": "nearline-python"}}


def test_a_look_at_an_item_is_a_segment_track_with_ga4_items() -> None:
    line = messages.item_line("item-7", price=19.9, category="shoes")

    message = messages.track(
        "c-1", "view_item", message_id="m-1", at=AT, consent=ALLOWED, items=[line]
    )

    assert message == {
        "type": "track",
        "event": "view_item",
        "messageId": "m-1",
        "userId": "c-1",
        "timestamp": "2026-11-21T12:00:00Z",
        "context": {
            "library": {"name": "nearline-python"},
            "consent": {"categoryPreferences": {"analytics": True, "personalization": True}},
        },
        "properties": {"items": [{"item_id": "item-7", "price": 19.9, "item_category": "shoes"}]},
    }


def test_identify_carries_traits_and_the_anonymous_id_only_where_there_is_one() -> None:
    known = messages.identify("c-1", message_id="m", at=AT, consent=ALLOWED, traits={"tier": 2})
    tied = messages.identify("c-1", message_id="m", at=AT, consent=ALLOWED, anonymous_id="a-9")

    assert known["traits"] == {"tier": 2}
    assert "anonymousId" not in known
    assert tied["anonymousId"] == "a-9"


def test_an_order_without_a_value_is_worth_its_lines() -> None:
    lines = [
        messages.item_line("a", price=19.99, quantity=2),
        messages.item_line("b", price=0.02),
    ]

    assert messages.purchase_properties(lines, "o-1", None, "EUR") == {
        "transaction_id": "o-1",
        "value": 40.0,  # 2 x 19.99 + 0.02
        "currency": "EUR",
    }


def test_an_order_with_an_unpriced_line_has_no_invented_value() -> None:
    lines = [messages.item_line("a", price=5.0), messages.item_line("b")]

    assert messages.purchase_properties(lines, None, None, None) == {}


def test_an_event_over_the_collectors_limit_is_refused_before_it_is_queued() -> None:
    message = messages.track(
        "c-1", "note", message_id="m", at=AT, consent=ALLOWED, properties={"text": "x" * 40_000}
    )

    with pytest.raises(EventTooLarge, match=r"32,768") as refused:
        messages.encode(message)
    assert refused.value.size_bytes > 40_000


def test_a_time_without_a_zone_is_refused() -> None:
    naive = datetime(2026, 11, 21, 12, 0)  # noqa: DTZ001 - what is refused
    with pytest.raises(ValueError, match="time zone"):
        messages.track("c-1", "view_item", message_id="m", at=naive, consent=ALLOWED)


def test_a_batch_body_is_one_json_document() -> None:
    encoded = [messages.encode({"messageId": "m-1"}), messages.encode({"messageId": "m-2"})]

    assert json.loads(messages.batch_body(encoded, AT)) == {
        "sentAt": "2026-11-21T12:00:00Z",
        "batch": [{"messageId": "m-1"}, {"messageId": "m-2"}],
    }


@pytest.mark.parametrize("call", ["identify", "page"])
def test_a_call_of_its_own_is_not_sent_as_an_event_of_its_name(call: str) -> None:
    with pytest.raises(ValueError, match=rf"call {call}\(\.\.\.\) instead; flush"):
        messages.track("c-1", call, message_id="m", at=AT, consent=None)


def test_a_page_has_a_name_only_where_it_is_given_one() -> None:
    named = messages.page(
        "c-1", message_id="m", at=AT, consent=ALLOWED, name="Home", properties={"path": "/"}
    )
    plain = messages.page("c-1", message_id="m", at=AT, consent=ALLOWED)

    assert (named["type"], named["name"], named["properties"]) == ("page", "Home", {"path": "/"})
    assert "name" not in plain


@pytest.mark.parametrize("consent", [{"analytics": "yes"}, {"analytics": 1}, "analytics", True])
def test_consent_is_true_or_false_for_each_purpose(consent: Any) -> None:
    with pytest.raises(TypeError, match="must say True or False for each purpose"):
        messages.track("c-1", "view_item", message_id="m", at=AT, consent=consent)


def test_one_item_is_no_list_of_items() -> None:
    item: Any = {"item_id": "i-1"}
    with pytest.raises(TypeError, match="expected a list of them"):
        messages.track("c-1", "view_item", message_id="m", at=AT, consent=None, items=item)
