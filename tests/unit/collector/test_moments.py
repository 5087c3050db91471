from __future__ import annotations

import pytest

from ingestion.collector.limits import DAY_US, MINUTE_US, Limits, Refused
from ingestion.collector.moments import instant_of, occurred_at_us

NOW_US = 1_795_000_000_000_000
LIMITS = Limits()


def occurred(timestamp_us: int | None, sent_at_us: int | None = None) -> int:
    return occurred_at_us(timestamp_us, sent_at_us, NOW_US, LIMITS)


def test_without_a_timestamp_the_event_occurred_when_it_came() -> None:
    assert occurred(None) == NOW_US


def test_a_clock_that_is_off_is_corrected_by_when_it_says_it_sent() -> None:
    # The device is an hour ahead: it saw the event 10 s before it sent.
    ahead_us = 60 * MINUTE_US

    assert occurred(NOW_US + ahead_us - 10_000_000, NOW_US + ahead_us) == NOW_US - 10_000_000


def test_a_clock_that_starts_in_1970_is_corrected_too() -> None:
    assert occurred(1_000_000, 4_000_000) == NOW_US - 3_000_000


def test_a_minute_off_is_travel_time_and_not_corrected() -> None:
    assert occurred(NOW_US - MINUTE_US, NOW_US - MINUTE_US) == NOW_US - MINUTE_US


def test_a_little_ahead_counts_as_now_and_more_is_refused() -> None:
    assert occurred(NOW_US + 5 * MINUTE_US) == NOW_US
    with pytest.raises(Refused, match="time_in_future"):
        occurred(NOW_US + 5 * MINUTE_US + 1)


def test_thirty_days_are_taken_and_older_is_for_import() -> None:
    assert occurred(NOW_US - 30 * DAY_US) == NOW_US - 30 * DAY_US
    with pytest.raises(Refused, match="nearline import"):
        occurred(NOW_US - 30 * DAY_US - 1)


@pytest.mark.parametrize(
    ("text", "instant_us"),
    [
        ("1970-01-01T00:00:01Z", 1_000_000),
        ("1970-01-01T08:00:00.5+08:00", 500_000),
        ("1969-12-31T23:59:59Z", -1_000_000),
        (None, None),
        ("", None),
    ],
)
def test_rfc_3339_times_are_read(text: str | None, instant_us: int | None) -> None:
    assert instant_of(text, "timestamp") == instant_us


@pytest.mark.parametrize(
    "value",
    [
        "2026-11-21T10:00:00",  # no zone
        "2026-11-21",
        "21.11.2026",
        "now",
        "2026-13-01T00:00:00Z",
        1_795_000_000,
        0,
        False,
        {},
    ],
)
def test_other_times_are_refused_rather_than_guessed(value: object) -> None:
    with pytest.raises(Refused, match="time_invalid"):
        instant_of(value, "timestamp")


def test_no_event_is_taken_that_the_log_could_not_read_back() -> None:
    any_age = Limits(age_us=100_000 * DAY_US)

    assert occurred_at_us(1, None, NOW_US, any_age) == 1
    with pytest.raises(Refused, match="time_too_old"):
        occurred_at_us(0, None, NOW_US, any_age)
