"""What the processes of the growth bench ask one another, and the figures of one size."""

from __future__ import annotations

import msgspec

from nearline.bench.inprocess import InProcess

MAKER = "training.growth"


class Make(msgspec.Struct, frozen=True):
    """Write a bundle of a made-up shop into a folder that does not exist yet."""

    folder: str
    items: int
    seed: int
    queries: int = 400  # customers with whose vectors indexes are tried


class Step(msgspec.Struct, frozen=True):
    """A line of progress: what was finished."""

    done: str


class Tried(msgspec.Struct, frozen=True):
    """One way to search: ms for the 100 nearest of one customer, one thread; its recall."""

    kind: str  # flat, or hnsw
    width: int  # efSearch; 0 for flat
    p50_ms: float
    p99_ms: float
    recall_at_100: float


class Made(msgspec.Struct, frozen=True):
    """The bundle that was written, and what the gate of training said of its index."""

    tried: list[Tried]
    chosen: str
    why: str
    made_index_s: float
    file_bytes: dict[str, int]


class Stored(msgspec.Struct, frozen=True):
    """Rows in the online store: how many, what Valkey takes for them, and how long to write."""

    rows: int
    bytes: int
    seconds: float


class Size(msgspec.Struct, frozen=True):
    """All that was measured at one size."""

    items: Stored
    customers: Stored
    events_per_customer: float
    made: Made
    inside: InProcess
