"""One row of a log becomes an event, or a word for why it cannot."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion.connectors.convert import REASONS, Converter, RowRefused
from ingestion.connectors.mapping import FIELDS, Mapping
from ingestion.connectors.rows import Micros, Row
from nearline.clock import micros
from nearline.contracts.event import Event, Line

NOW_US = micros(datetime(2026, 11, 1, tzinfo=UTC))
AT = "2026-10-05T12:00:00Z"


def converter(**changes: Any) -> Converter:
    settings: dict[str, Any] = {
        "name": "log",
        "columns": {field: field for field in FIELDS},
        "events": {"view": "view_item", "buy": "purchase", "search": "search", "tick": "ignore"},
        "consent": ("analytics",),
        "currency": "EUR",
    }
    return Converter(Mapping(**settings | changes), "log", NOW_US)


def row(**values: Any) -> Row:
    held = {"customer_id": "c1", "item_id": "i1", "event": "view", "time": AT} | values
    return Row(7, tuple(held.get(field) for field in FIELDS), None)


def event(conv: Converter | None = None, **values: Any) -> Event:
    made = (conv or converter())(row(**values))
    assert made is not None
    return made


def refusal(conv: Converter | None = None, **values: Any) -> str:
    with pytest.raises(RowRefused) as refused:
        (conv or converter())(row(**values))
    assert refused.value.reason in REASONS
    return refused.value.reason


def at_us(conv: Converter, time: Any) -> int:
    return event(conv, time=time).occurred_at_us


def test_a_row_becomes_an_event_known_when_it_occurred() -> None:
    made = event(
        event="buy", quantity="2", price="1899", category="shoes", value=3798, event_id="e-9"
    )

    when = micros(datetime(2026, 10, 5, 12, tzinfo=UTC))
    assert made == Event(
        event_id="e-9",
        type="track",
        name="purchase",
        customer_id="c1",
        occurred_at_us=when,
        known_at_us=when,
        source="log",
        lines=(Line("i1", 2, 1899, "shoes"),),
        value_cents=3798,
        currency="EUR",
        consent=("analytics",),
    )


def test_without_an_id_the_row_number_makes_one() -> None:
    assert event().event_id == "log-7"


def test_numbers_are_ids_even_where_a_gap_made_them_floats() -> None:
    assert event(customer_id=17, item_id=3.0).customer_id == "17"
    assert event(customer_id=17, item_id=3.0).lines[0].item_id == "3"
    assert refusal(customer_id=1.5) == "bad_id"
    assert refusal(customer_id=1e300) == "bad_id"  # 301 digits
    assert refusal(customer_id=float("nan")) == "no_customer"


def test_an_anonymous_id_stands_in_for_a_missing_customer() -> None:
    assert event(customer_id="", anonymous_id="a1").customer_id == "a1"
    assert event(anonymous_id="a1").customer_id == "c1"


def test_ignored_words_are_no_events_and_unknown_ones_are_refused_unless_told_otherwise() -> None:
    assert converter()(row(event="tick")) is None
    assert refusal(event="hover") == "unknown_event"
    assert converter(ignore_unknown=True)(row(event="hover")) is None


def test_what_is_missing_or_unfit_is_named() -> None:
    assert refusal(event=None) == "no_event"
    assert refusal(customer_id=" ") == "no_customer"
    assert refusal(item_id=None) == "no_item"
    assert event(event="search", item_id=None).lines == ()
    assert refusal(time="") == "no_time"
    assert refusal(time="yesterday") == "bad_time"
    assert refusal(time=1_700_000_000) == "bad_time"  # the format says iso
    assert refusal(customer_id="a\x00b") == "bad_id"
    assert refusal(customer_id="c" * 257) == "bad_id"
    assert refusal(customer_id="\udce9") == "bad_id"  # a byte that was no UTF-8
    assert refusal(price=1, currency="euros") == "bad_currency"


@pytest.mark.parametrize("quantity", ["0", "-1", "1.5", "many", "1e999999999", True])
def test_a_quantity_is_a_whole_number_from_one(quantity: Any) -> None:
    assert refusal(quantity=quantity) == "bad_quantity"
    assert event(quantity="3.0").lines[0].quantity == 3


@pytest.mark.parametrize("price", ["-1", "NaN", "Infinity", "1e999999999", "free", True, [1]])
def test_money_is_a_number_from_zero(price: Any) -> None:
    assert refusal(price=price) == "bad_money"


def test_units_become_cents_and_fractions_of_cents_are_a_mistake_in_the_mapping() -> None:
    units = converter(money_in_units=True)

    assert event(units, price="18.99").lines[0].price_cents == 1899
    assert event(units, price=18.99).lines[0].price_cents == 1899
    assert event(units, price="0.125").lines[0].price_cents == 13  # half up
    assert event(price=1899).lines[0].price_cents == 1899
    assert refusal(price="18.99") == "bad_money"


def test_an_amount_beyond_all_numbers_refuses_its_row_alone() -> None:
    assert refusal(converter(money_in_units=True), price="1e999999") == "bad_money"


def test_a_missing_price_is_unknown_and_brings_no_currency() -> None:
    for missing in (None, "", float("nan")):
        made = event(price=missing)
        assert made.lines[0].price_cents is None
        assert made.currency is None
    assert event(price=5, currency="usd").currency == "USD"


@pytest.mark.parametrize(
    ("form", "value"),
    [
        ("epoch_s", 1_791_201_600),
        ("epoch_s", "1791201600.0"),
        ("epoch_ms", 1_791_201_600_000),
        ("epoch_us", "1791201600000000"),
        ("iso", "2026-10-05T12:00:00Z"),
        ("iso", "2026-10-05 20:00:00+08:00"),
        ("iso", datetime(2026, 10, 5, 12, tzinfo=UTC)),
        ("iso", Micros(1_791_201_600_000_000)),
    ],
)
def test_all_ways_to_write_an_instant_agree(form: str, value: Any) -> None:
    assert at_us(converter(time_format=form), value) == 1_791_201_600_000_000


def test_a_wrong_unit_is_noticed() -> None:
    assert refusal(converter(time_format="epoch_ms"), time=1_791_201_600) == "time_too_old"
    assert refusal(converter(time_format="epoch_s"), time=1_791_201_600_000) == "time_in_future"
    assert refusal(converter(time_format="epoch_s"), time="nan") == "bad_time"
    assert refusal(converter(time_format="epoch_s"), time="1e9999") == "bad_time"


def test_what_lies_ahead_of_the_import_is_a_wrong_zone_and_no_past() -> None:
    assert at_us(converter(), "2026-11-01T00:04:00Z") == NOW_US + 240_000_000  # clocks differ
    assert refusal(time="2026-11-01T01:00:00Z") == "time_in_future"


def test_a_time_without_a_zone_is_of_the_mappings() -> None:
    shanghai = converter(zone=ZoneInfo("Asia/Shanghai"))

    assert at_us(shanghai, "2026-10-05 20:00:00") == 1_791_201_600_000_000
    assert at_us(shanghai, "2026-10-05T12:00:00Z") == 1_791_201_600_000_000


def test_the_hour_that_clocks_repeat_is_the_first_the_second_or_refused() -> None:
    """Berlin, 25 October 2026: 02:30 was at 00:30 UTC (summer time) and at 01:30 UTC."""
    berlin = ZoneInfo("Europe/Berlin")
    first = micros(datetime(2026, 10, 25, 0, 30, tzinfo=UTC))

    assert at_us(converter(zone=berlin), "2026-10-25 02:30:00") == first
    second = at_us(converter(zone=berlin, ambiguous="second"), "2026-10-25 02:30:00")
    assert second - first == 3_600_000_000
    strict = converter(zone=berlin, ambiguous="refuse")
    assert refusal(strict, time="2026-10-25 02:30:00") == "time_is_ambiguous"
    assert at_us(strict, "2026-10-25T02:30:00+01:00") == second  # it says which


def test_the_hour_that_clocks_skip_never_was() -> None:
    berlin = converter(zone=ZoneInfo("Europe/Berlin"))

    assert refusal(berlin, time="2026-03-29 02:30:00") == "time_does_not_exist"
    assert at_us(berlin, "2026-03-29 03:30:00") == micros(datetime(2026, 3, 29, 1, 30, tzinfo=UTC))


@given(
    minutes=st.integers(0, 60 * 24 * 365),
    zone=st.sampled_from(["Europe/Berlin", "America/New_York", "Asia/Shanghai", "UTC"]),
)
def test_any_instant_comes_back_from_its_local_time(minutes: int, zone: str) -> None:
    """Except in the repeated hour, where the first of the two is taken."""
    instant = datetime(2025, 6, 1, tzinfo=UTC) + timedelta(minutes=minutes)
    local = instant.astimezone(ZoneInfo(zone))

    found = at_us(converter(zone=ZoneInfo(zone)), local.replace(tzinfo=None).isoformat())

    assert found == micros(instant) - (3_600_000_000 if local.fold else 0)


VALUES = st.one_of(
    st.none(),
    st.text(max_size=300),
    st.integers(),
    st.floats(),
    st.booleans(),
    st.lists(st.integers(), max_size=2),
    st.sampled_from(["view", "buy", AT, "c1", "1"]),
)


@given(st.fixed_dictionaries(dict.fromkeys(FIELDS, VALUES)))
def test_nothing_that_a_file_holds_breaks_the_conversion(values: dict[str, Any]) -> None:
    for form in ("iso", "epoch_s"):
        with suppress(RowRefused):
            converter(time_format=form)(row(**values))
