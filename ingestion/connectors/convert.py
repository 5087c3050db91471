"""One row of somebody's log becomes an event, or a word for why it cannot. Pure."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any

from ingestion.connectors.mapping import FIELDS, IGNORE, Mapping
from ingestion.connectors.rows import Micros, Row
from nearline.clock import micros
from nearline.contracts.event import ITEM_LISTED, KIND_OF_NAME, Event, Line

_OLDEST_US = micros(datetime(1990, 1, 1, tzinfo=UTC))
_AHEAD_US = 5 * 60_000_000  # As for live events; a wrong zone is hours off.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_CURRENCY = re.compile(r"[A-Za-z]{3}", re.ASCII)
_LONGEST_TEXT = 256
_MOST_CENTS = 10**12
_MOST_QUANTITY = 100_000
_NEED_ITEM = frozenset(KIND_OF_NAME) | {ITEM_LISTED}
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - arithmetic on local times
_MICROSECOND = timedelta(microseconds=1)
_PER_UNIT_US = {"epoch_s": 1_000_000, "epoch_ms": 1_000, "epoch_us": 1}

REASONS = {
    "unreadable_row": "the row is not CSV or JSON, or is too long",
    "wrong_number_of_columns": "the row has more or fewer columns than the header",
    "no_customer": "neither customer nor anonymous id",
    "no_event": "the event's name is missing",
    "unknown_event": "the mapping's events do not list this name",
    "no_item": "the event names no item",
    "no_time": "the time is missing",
    "bad_time": "the time cannot be read; look at time.format",
    "time_does_not_exist": "the clocks skip this local time; look at time.zone",
    "time_is_ambiguous": "the clocks repeat this local time (time.ambiguous: refuse)",
    "time_in_future": "the time lies ahead of now; look at time.format and time.zone",
    "time_too_old": "the time lies before 1990; look at time.format (s, ms or us?)",
    "bad_id": "an id or category is not text, is longer than 256, or holds control characters",
    "bad_quantity": "the quantity is no whole number from 1 up",
    "bad_money": "a price or value is no number from 0 up; cents must be whole (money.unit)",
    "bad_currency": "the currency is not three letters",
}


class RowRefused(Exception):
    """Why a row is no event; one of `REASONS`."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)


class Converter:
    """Turns rows into events of one import. `now_us` is when the import began."""

    def __init__(self, mapping: Mapping, name: str, now_us: int) -> None:
        self._mapping, self._name = mapping, name
        self._latest_us = now_us + _AHEAD_US
        self._zone_is_utc = mapping.zone.key == "UTC"
        # Where each of FIELDS stands in `(*row.values, None)`: what is not mapped, at the None.
        held = list(mapping.columns)
        self._places = [held.index(name) if name in held else len(held) for name in FIELDS]

    def __call__(self, row: Row) -> Event | None:
        """The event, None for one that the mapping ignores; raises RowRefused."""
        if row.values is None:
            raise RowRefused(row.problem)
        values = (*row.values, None)
        (
            customer,
            item,
            word,
            time,
            event_id,
            quantity,
            price,
            category,
            value,
            currency,
            anonymous,
        ) = [values[place] for place in self._places]
        name = self._name_of(word)
        if name == IGNORE:
            return None
        anonymous_id = _text(anonymous)
        customer_id = _text(customer) or anonymous_id
        if customer_id is None:
            raise RowRefused("no_customer")
        item_id = _text(item)
        if item_id is None and name in _NEED_ITEM:
            raise RowRefused("no_item")
        at_us = self._instant(time)
        price_cents, value_cents = self._cents(price), self._cents(value)
        lines: tuple[Line, ...] = ()
        if item_id is not None:
            lines = (Line(item_id, _quantity(quantity), price_cents, _text(category)),)
        said_money = price_cents is not None or value_cents is not None
        return Event(
            event_id=_text(event_id) or f"{self._name}-{row.number}",
            type="track",
            name=name,
            customer_id=customer_id,
            occurred_at_us=at_us,
            known_at_us=at_us,
            source=self._name,
            anonymous_id=anonymous_id,
            lines=lines,
            value_cents=value_cents,
            currency=self._currency(currency) if said_money else None,
            consent=self._mapping.consent,
        )

    def _name_of(self, word: Any) -> str:
        text = _text(word)
        if text is None:
            raise RowRefused("no_event")
        name = self._mapping.events.get(text)
        if name is None and not self._mapping.ignore_unknown:
            raise RowRefused("unknown_event")
        return name or IGNORE

    def _instant(self, value: Any) -> int:
        if value is None or value == "":
            raise RowRefused("no_time")
        if isinstance(value, Micros):
            at_us = int(value)
        elif isinstance(value, datetime):
            at_us = self._of_datetime(value)
        elif self._mapping.time_format == "iso":
            try:
                at_us = self._of_datetime(datetime.fromisoformat(value.strip()))
            except (ValueError, AttributeError):
                raise RowRefused("bad_time") from None
        else:
            at_us = _of_epoch(value, _PER_UNIT_US[self._mapping.time_format])
        if at_us < _OLDEST_US:
            raise RowRefused("time_too_old")
        if at_us > self._latest_us:
            raise RowRefused("time_in_future")
        return at_us

    def _of_datetime(self, moment: datetime) -> int:
        if moment.tzinfo is not None:
            return micros(moment)
        local_us = (moment - _EPOCH) // _MICROSECOND
        if self._zone_is_utc:
            return local_us
        zone = self._mapping.zone
        first = moment.replace(tzinfo=zone, fold=0).utcoffset()
        second = moment.replace(tzinfo=zone, fold=1).utcoffset()
        assert first is not None
        assert second is not None
        if first < second:  # The clocks went forward over it.
            raise RowRefused("time_does_not_exist")
        if first > second and self._mapping.ambiguous == "refuse":
            raise RowRefused("time_is_ambiguous")
        offset = second if self._mapping.ambiguous == "second" else first
        return local_us - offset // _MICROSECOND

    def _cents(self, value: Any) -> int | None:
        if value is None or value == "" or _is_gap(value):
            return None
        if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
            raise RowRefused("bad_money")
        try:
            amount = Decimal(str(value).strip())
        except InvalidOperation:
            raise RowRefused("bad_money") from None
        # Compared before it is multiplied: 1e999999 times 100 is more than Decimal can hold.
        if not amount.is_finite() or not 0 <= amount <= _MOST_CENTS:
            raise RowRefused("bad_money")
        scaled = amount * 100 if self._mapping.money_in_units else amount
        if scaled > _MOST_CENTS:
            raise RowRefused("bad_money")
        cents = int(scaled.to_integral_value(ROUND_HALF_UP))
        if not self._mapping.money_in_units and cents != scaled:
            raise RowRefused("bad_money")  # 18.99 "cents" are units whose mapping is wrong.
        return cents

    def _currency(self, value: Any) -> str | None:
        text = "" if value is None else str(value).strip()
        if text and not _CURRENCY.fullmatch(text):
            raise RowRefused("bad_currency")
        return text.upper() or self._mapping.currency


def _text(value: Any) -> str | None:
    """An id, a word or a category as text; None where there is none. Raises RowRefused."""
    if isinstance(value, str):
        text = value.strip()
        if len(text) > _LONGEST_TEXT or _CONTROL.search(text):
            raise RowRefused("bad_id")
        return text or None
    if value is None or _is_gap(value):
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)  # Ids that passed through a column with gaps: 17.0 is 17.
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) >= 10**_LONGEST_TEXT:
        raise RowRefused("bad_id")
    return str(value)


def _of_epoch(value: Any, per_unit_us: int) -> int:
    """Microseconds of a number of seconds, ms or us; a fraction is kept to the microsecond."""
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise RowRefused("bad_time")
    try:
        number = Decimal(value.strip() if isinstance(value, str) else str(value))
    except InvalidOperation:
        raise RowRefused("bad_time") from None
    if not number.is_finite() or abs(number) > 10**18:
        raise RowRefused("bad_time")
    return int(number * per_unit_us)


def _quantity(value: Any) -> int:
    if value is None or value == "" or _is_gap(value):
        return 1
    try:
        number = Decimal(str(value).strip())
    except InvalidOperation:
        raise RowRefused("bad_quantity") from None
    if isinstance(value, bool) or not number.is_finite() or not 1 <= number <= _MOST_QUANTITY:
        raise RowRefused("bad_quantity")
    if number != int(number):
        raise RowRefused("bad_quantity")
    return int(number)


def _is_gap(value: Any) -> bool:
    """A column of floats marks with NaN what is missing."""
    return isinstance(value, float) and math.isnan(value)
