"""Contract 2: where an event lies on the log."""

from __future__ import annotations

import zlib
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class LogPosition:
    """Partition and sequence of one event; ordered within a partition.

    The sequence is the Redis stream id: milliseconds, then a counter within them. The text
    form `partition-ms-counter` is the token that accepting an event returns.
    """

    partition: int
    ms: int
    counter: int

    def __str__(self) -> str:
        return f"{self.partition}-{self.ms}-{self.counter}"

    @property
    def stream_id(self) -> str:
        return f"{self.ms}-{self.counter}"

    @classmethod
    def of(cls, partition: int, stream_id: str | bytes) -> LogPosition:
        text = stream_id.decode() if isinstance(stream_id, bytes) else stream_id
        ms, counter = text.split("-")
        return cls(partition, int(ms), int(counter))

    @classmethod
    def parse(cls, token: str) -> LogPosition:
        """Return the position; raises ValueError on anything but three whole numbers."""
        parts = token.split("-")
        if len(parts) != 3 or not all(part.isascii() and part.isdigit() for part in parts):
            raise ValueError(
                f"a log position looks like '3-1760000000000-0' (partition-ms-counter), "
                f"not {token[:40]!r}: pass on the token that accepting an event returned"
            )
        return cls(int(parts[0]), int(parts[1]), int(parts[2]))


def start_of(partition: int) -> LogPosition:
    """The position before the first event of a partition."""
    return LogPosition(partition, 0, 0)


def partition_of(customer_id: str, partitions: int) -> int:
    """The partition that holds all events of a customer; stable across machines and runs."""
    return zlib.crc32(customer_id.encode()) % partitions
