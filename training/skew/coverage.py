"""Up to which instant history is complete: later answers cannot be recomputed yet."""

from __future__ import annotations

from pathlib import Path

import redis

from nearline.contracts.position import start_of
from nearline.history import archived_positions, files
from nearline.log import read_after

# Between an event's acceptance and its place on the log lie milliseconds, and clocks differ.
GRACE_US = 5_000_000


def covered_until_us(client: redis.Redis, history: Path, partitions: int, now_us: int) -> int:
    """The instant up to which every event that was known lies in history; less five seconds."""
    archived = archived_positions(files(history))
    first_us = [now_us]
    for partition in range(partitions):
        after = archived.get(partition, start_of(partition))
        waiting = read_after(client, {partition: after}, count=100, block_ms=None)
        first_us += [entry.event.known_at_us for entry in waiting.get(partition, [])]
    return min(first_us) - GRACE_US
