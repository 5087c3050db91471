from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion.collector.grpc_door import json_of
from ingestion.collector.letter import Call
from ingestion.collector.limits import Limits, Refused
from ingestion.collector.listing import stated_facts
from ingestion.collector.openapi import LISTING
from ingestion.collector.parse import parse
from ingestion.connectors.wire import message_of
from nearline.contracts.event import Event, Line, StatedFacts
from nearline.v1 import ingest_pb2
from nearline.write_keys import WriteKey

NOW_US = 1_795_000_000_000_000


def taken(properties: dict[str, Any], name: str = "item_listed") -> Event:
    return parsed(
        {
            "type": "track",
            "event": name,
            "anonymousId": "shop",
            "properties": properties,
            "context": {"consent": {"categoryPreferences": {"analytics": True}}},
        }
    )


def parsed(event: Any) -> Event:
    result = parse(
        json.dumps(event).encode(),
        Call("server", NOW_US),
        WriteKey(name="server", lists_items=True),
        Limits(),
        known_at_us=NOW_US,
        new_id=lambda: "made",
    )
    assert isinstance(result, Event), result
    return result


def test_the_documented_listing_states_every_fact() -> None:
    facts = StatedFacts(
        stock=12, rating_hundredths=435, banned=False, min_age_years=18, repurchase_days=14
    )

    event = taken(LISTING)

    assert event.lines == (Line("i42", 1, 1_899, "wine", facts),)
    assert event.payload == "{}"


def test_the_one_item_of_a_listing_may_state_its_facts_in_the_properties_themselves() -> None:
    event = taken({"product_id": "i1", "stock": 0, "colour": "red"})

    assert event.lines == (Line("i1", facts=StatedFacts(stock=0)),)
    assert event.payload == '{"properties":{"colour":"red"}}'


def test_over_grpc_a_listing_states_the_same() -> None:
    sent = ingest_pb2.SegmentEvent(type="track", event="item_listed", anonymous_id="shop")
    sent.properties.update(LISTING)
    sent.context.update({"consent": {"categoryPreferences": {"analytics": True}}})

    assert parsed(json.loads(json_of(sent))).lines == taken(LISTING).lines


def test_only_a_listing_states_facts() -> None:
    event = taken({"items": [{"item_id": "i1", "stock": 0, "rating": "nice"}]}, "view_item")

    assert event.lines == (Line("i1"),)
    assert event.payload == '{"properties":{"items":[{"stock":0,"rating":"nice"}]}}'


def test_each_item_of_a_listing_states_its_own() -> None:
    event = taken({"items": [{"item_id": "a", "banned": True}, {"item_id": "b"}]})

    assert [line.facts for line in event.lines] == [StatedFacts(banned=True), None]


@pytest.mark.parametrize(
    ("item", "stock"),
    [
        ({"stock": 0}, 0),
        ({"stock": "12"}, 12),
        ({"stock": 3.0}, 3),
        ({"stock": 10**9}, 10**9),
        ({"quantity_available": 7}, 7),
        ({"stock": 2, "quantity_available": 7, "availability": "out_of_stock"}, 2),
        ({"stock": None, "quantity_available": "", "availability": "out_of_stock"}, 0),
        ({"availability": "in_stock"}, 1),
        ({"availability": "preorder"}, 1),
        ({"availability": "backorder"}, 1),
    ],
)
def test_stock_is_stated_in_units_or_as_availability(item: dict[str, Any], stock: int) -> None:
    assert stated_facts(item) == StatedFacts(stock=stock)


@pytest.mark.parametrize(
    ("rating", "hundredths"), [(0, 0), (5, 500), (4.35, 435), ("4.5", 450), (4.005, 400)]
)
def test_a_rating_is_kept_in_hundredths_of_a_star(rating: object, hundredths: int) -> None:
    assert stated_facts({"rating": rating}) == StatedFacts(rating_hundredths=hundredths)


@pytest.mark.parametrize(
    "item",
    [
        {},
        {"price": 3},
        {"stock": None, "availability": "", "rating": None},
        {"banned": None, "min_age": "", "repurchase_days": None},
    ],
)
def test_silence_states_nothing(item: dict[str, Any]) -> None:
    assert stated_facts(item) is None


@pytest.mark.parametrize(
    ("field", "values", "hint"),
    [
        ("stock", [-1, 1.5, 10**9 + 1, "many", True, []], "from 0 to 1000000000"),
        ("quantity_available", [-1, "1e3"], "from 0 to 1000000000"),
        ("availability", ["sold out", "InStock", 1, True], "in_stock, preorder, backorder"),
        ("rating", [-0.1, 5.01, "6", "good", True, []], "rating must"),
        ("banned", ["yes", 1, 0, "true"], "true or false"),
        ("min_age", [-1, 121, 17.5, False], "from 0 to 120"),
        ("repurchase_days", [-1, 3_651, "soon"], "from 0 to 3650"),
    ],
)
def test_what_no_item_can_be_is_refused_with_a_hint(
    field: str, values: list[object], hint: str
) -> None:
    for value in values:
        with pytest.raises(Refused, match=hint) as refused:
            stated_facts({field: value})
        assert refused.value.code == "fact_invalid"


@given(
    st.builds(
        StatedFacts,
        stock=st.none() | st.integers(0, 10**9),
        rating_hundredths=st.none() | st.integers(0, 500),
        banned=st.none() | st.booleans(),
        min_age_years=st.none() | st.integers(0, 120),
        repurchase_days=st.none() | st.integers(0, 3_650),
    )
)
def test_a_listing_sent_again_states_the_same(facts: StatedFacts) -> None:
    stated = None if facts == StatedFacts() else facts
    event = Event(
        event_id="e",
        type="track",
        name="item_listed",
        customer_id="shop",
        occurred_at_us=NOW_US,
        known_at_us=NOW_US,
        source="app",
        lines=(Line("i1", 1, 995, "tea", stated),),
        consent=("analytics",),
    )

    assert parsed(message_of(event, message_id="again", at_us=NOW_US)).lines == event.lines
