"""When an event occurred, by a clock that we can trust."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec

from ingestion.collector.limits import DAY_US, MINUTE_US, Limits, Refused
from nearline.clock import micros

_Instant = Annotated[datetime, msgspec.Meta(tz=True)]


def instant_of(value: object, field: str) -> int | None:
    """RFC 3339 text as UTC microseconds; None where absent. Raises Refused for anything else.

    The zone must be written: a guessed one would move features by hours without a sign.
    """
    if value is None or value == "":
        return None
    if isinstance(value, str):
        try:
            return micros(msgspec.convert(value, _Instant))
        except (msgspec.ValidationError, ValueError, OverflowError):
            pass
    raise Refused(
        "time_invalid",
        f"{field} must be an RFC 3339 time with its zone, such as 2026-11-21T09:30:00.000Z",
    )


def occurred_at_us(
    timestamp_us: int | None, sent_at_us: int | None, received_at_us: int, limits: Limits
) -> int:
    """The instant of the event, never after `received_at_us`.

    Without a timestamp it occurred when we received it. When the sender's clock at sending
    (`sent_at_us`) is off by more than `limits.clock_skew_us`, the timestamp is moved by the
    difference: received - (sent - timestamp). A little ahead then counts as now. Raises
    Refused for what is further ahead, or older than `limits.age_us`.
    """
    if timestamp_us is None:
        return received_at_us
    at_us = timestamp_us
    if sent_at_us is not None and abs(received_at_us - sent_at_us) > limits.clock_skew_us:
        at_us += received_at_us - sent_at_us
    if at_us > received_at_us + limits.future_us:
        raise Refused(
            "time_in_future",
            f"timestamp is over {limits.future_us // MINUTE_US} minutes ahead of the collector's "
            "clock; set the sender's clock, or send sentAt so that it can be corrected",
        )
    # A key may allow any age, but nothing behind the log knows instants before 1970.
    if at_us < max(1, received_at_us - limits.age_us):
        raise Refused(
            "time_too_old",
            f"timestamp is over {limits.age_us // DAY_US} days old; "
            "bring history in with `nearline import`",
        )
    return min(at_us, received_at_us)
