"""How much one event and one batch may be, and the two ways in which an event is turned away."""

from __future__ import annotations

from dataclasses import dataclass, replace

from nearline.errors import PermanentError
from nearline.write_keys import WriteKey

MINUTE_US = 60_000_000
DAY_US = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Limits:
    """What the collector takes; what is beyond is refused by name, never cut off."""

    event_bytes: int = 32 * 1024
    """JSON of one event."""
    batch_bytes: int = 500 * 1024
    """Body of one request, compressed or not, and also after decompression."""
    batch_events: int = 2_500
    context_bytes: int = 8 * 1024
    """JSON of the context that a batch states once for all its events: each stores a copy."""
    depth: int = 16
    """Nested objects and arrays of one event, itself included."""
    lines: int = 200
    """Items of one event."""
    text_chars: int = 256
    """Ids, event names and categories."""
    quantity: int = 100_000
    amount_cents: int = 10**12
    """A price or a value: ten thousand million currency units."""
    clock_skew_us: int = MINUTE_US
    """A sender's clock that is off by more is corrected, as Segment does."""
    future_us: int = 5 * MINUTE_US
    """Ahead of our clock by less counts as now; by more is refused."""
    age_us: int = 30 * DAY_US

    def under(self, key: WriteKey) -> Limits:
        """These limits with those that the key sets for itself."""
        if key.max_event_bytes is None and key.max_age_days is None:
            return self
        age_us = self.age_us if key.max_age_days is None else key.max_age_days * DAY_US
        return replace(self, event_bytes=key.max_event_bytes or self.event_bytes, age_us=age_us)


class Refused(PermanentError):
    """The event cannot be taken. `code` is for programs; `hint` says what to mend, without data."""

    def __init__(self, code: str, hint: str) -> None:
        self.code, self.hint = code, hint
        super().__init__(f"{code}: {hint}")


class Withheld(PermanentError):
    """The customer did not allow the event; nothing of it may be kept."""

    def __init__(self, code: str, hint: str) -> None:
        self.code, self.hint = code, hint
        super().__init__(f"{code}: {hint}")
