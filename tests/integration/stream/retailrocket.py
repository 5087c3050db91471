"""A real shop's log as events: `retailrocket_behaviour`, 97,381 of them."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from nearline.contracts.event import Event, Line, Purpose

_NAMES = {"view": "view_item", "cart": "add_to_cart", "purchase": "purchase"}


def retailrocket(shared: Path, limit: int | None = None) -> list[Event]:
    """The first `limit` events in the order of time, known when they occurred."""
    table = pq.ParquetFile(shared / "data/retailrocket_behaviour/events.parquet").read()
    table = table.slice(0, limit)
    times = table["event_time"].cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_pylist()
    return [
        Event(
            event_id=f"rr-{number}",
            type="track",
            name=_NAMES[name],
            customer_id=str(user_id),
            occurred_at_us=at_us,
            known_at_us=at_us,
            source="retailrocket",
            lines=(Line(str(item_id)),),
            consent=(Purpose.PERSONALIZATION,),
        )
        for number, (at_us, user_id, name, item_id) in enumerate(
            zip(
                times,
                table["user_id"].to_pylist(),
                table["event"].to_pylist(),
                table["item_id"].to_pylist(),
                strict=True,
            )
        )
    ]
