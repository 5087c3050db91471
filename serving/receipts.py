"""The freshness receipt and the ids of answers. Pure."""

from __future__ import annotations

from nearline.contracts.answer import Receipt
from nearline.online import CustomerReading
from serving.items import ItemTable

ENTROPY_BYTES = 10


def receipt_of(reading: CustomerReading, as_of_us: int, table: ItemTable | None = None) -> Receipt:
    """Which events an answer has seen, and how old they were; ages are None for a stranger.

    The newest event's age counts from when it occurred, the features' from when Nearline
    could know their newest event. Without a table, or while a row of it is ahead of the others, no
    item positions are told: they would not be all the truth.
    """
    seen_us, known_us = reading.state.last_seen_us, reading.known_at_us
    return Receipt(
        log_position=str(reading.position) if reading.position else "",
        as_of_us=as_of_us,
        newest_event_at_us=seen_us,
        newest_event_age_ms=max(0, as_of_us - seen_us) / 1_000 if seen_us else None,
        features_age_ms=max(0, as_of_us - known_us) / 1_000 if known_us else None,
        item_positions=tuple(map(str, table.positions))
        if table is not None and table.exact  # An empty one is as exact as any.
        else (),
    )


def response_id(now_us: int, entropy: bytes) -> str:
    """A 32-digit hex id: 48 bits of milliseconds, then 80 random bits; sorts by time.

    The same bytes as a ULID, so ids made in one millisecond have no order among them.
    """
    if len(entropy) != ENTROPY_BYTES:
        raise ValueError(f"an id needs {ENTROPY_BYTES} random bytes, not {len(entropy)}")
    return ((now_us // 1_000) % (1 << 48)).to_bytes(6, "big").hex() + entropy.hex()
