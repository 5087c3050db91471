"""The floor of the stream: reads a stream and stores a ready row, computing nothing.

Run as `python -m nearline.bench.reader REDIS_URL STREAM_KEY ROW_KEY`. The row has the fields
of the real customer view, and the sequence is written as the worker writes it.
"""

from __future__ import annotations

import sys
from typing import Any

import redis

from nearline.bench.row import full_row
from nearline.contracts.event import decode_event
from nearline.feast_layout import CUSTOMER_VIEW, sequence_field


def follow(client: redis.Redis, stream: str, row_key: str) -> None:
    """Store the row once for each event, for as long as the process lives."""
    position = b"0-0"
    flat = CUSTOMER_VIEW.encode(full_row(), known_at_us=1)
    client.hset(row_key, items=[sequence_field(0), position, *flat])
    while True:
        reply: Any = client.xread({stream: position}, count=100, block=1_000) or []
        for _, entries in reply.items() if isinstance(reply, dict) else reply:
            for stream_id, fields in entries:
                decode_event(fields[b"e"])
                position = stream_id
                client.hset(row_key, items=[sequence_field(0), position, *flat])


if __name__ == "__main__":
    follow(redis.Redis.from_url(sys.argv[1]), sys.argv[2], sys.argv[3])
