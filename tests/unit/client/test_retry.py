from __future__ import annotations

from datetime import UTC, datetime

import pytest

from nearline.client.retry import Backoff, retry_after_s

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)


def test_the_longest_wait_doubles_with_each_failure_up_to_a_ceiling() -> None:
    backoff = Backoff(first_s=0.1, longest_s=1.0)

    longest = [backoff.delay_s(attempt, draw=0.999_999_9) for attempt in range(6)]

    assert longest == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.0, 1.0], rel=1e-6)


def test_jitter_spreads_the_wait_from_zero_to_the_ceiling() -> None:
    backoff = Backoff(first_s=0.1, longest_s=1.0)

    assert backoff.delay_s(3, draw=0.0) == 0.0
    assert backoff.delay_s(3, draw=0.5) == pytest.approx(0.4)


def test_what_the_server_asked_for_is_always_waited_for() -> None:
    backoff = Backoff(first_s=0.1, longest_s=1.0)

    assert backoff.delay_s(0, draw=0.0, retry_after_s=7.0) == 7.0
    assert backoff.delay_s(9, draw=0.5, retry_after_s=7.0) == pytest.approx(7.05)


def test_a_thousand_failures_do_not_overflow() -> None:
    assert Backoff().delay_s(1_000, draw=0.5) == pytest.approx(5.0)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("3", 3.0),
        (" 0 ", 0.0),
        ("Sat, 21 Nov 2026 12:00:05 GMT", 5.0),
        ("Sat, 21 Nov 2026 11:00:00 GMT", 0.0),  # already past: at once
        ("86400", 60.0),  # a day is not believed
        ("soon", None),
        ("-4", None),
    ],
)
def test_retry_after_is_read_as_a_number_or_a_date(
    header: str | None, seconds: float | None
) -> None:
    assert retry_after_s(header, NOW) == seconds
