"""Time as a value: code that decides takes instants, the edge asks the clock."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Clock(Protocol):
    """Tells the current instant in UTC microseconds since the epoch."""

    def now_us(self) -> int: ...


class SystemClock:
    """The machine's clock."""

    def now_us(self) -> int:
        return time.time_ns() // 1_000


class FixedClock:
    """A clock that stands still until it is moved; for tests and simulations."""

    def __init__(self, instant_us: int) -> None:
        self.instant_us = instant_us

    def now_us(self) -> int:
        return self.instant_us

    def advance(self, delta_us: int) -> None:
        self.instant_us += delta_us


def utc(instant_us: int) -> datetime:
    """The instant as an aware datetime."""
    # Whole numbers only: as a float of seconds, the last instant of 9999 would be in 10000.
    return _EPOCH + timedelta(microseconds=instant_us)


def micros(instant: datetime) -> int:
    """The reverse of `utc`; the datetime must carry a zone."""
    if instant.tzinfo is None:
        raise ValueError("an instant needs a time zone; this one has none")
    delta = instant - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds
