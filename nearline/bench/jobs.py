"""What the load generator is to ask, and what it saw: values between two processes.

Two ways of asking. Closed: so many clients, each asks again when it has its answer. Open: by
the clock, with exponentially distributed gaps (a Poisson process), whether or not the answers
before have come; a time counts from the instant at which the question was due, so that a system
that stands still cannot make the bench wait politely (coordinated omission).
"""

from __future__ import annotations

import msgspec

from nearline.contracts.answer import RecommendedItem


class Closed(msgspec.Struct, frozen=True, tag="closed"):
    """`clients` at once, each for so long; a client that is refused waits as told (Retry-After)."""

    clients: int
    seconds: float


class Open(msgspec.Struct, frozen=True, tag="open"):
    """So many a second on average, for so long."""

    rate_per_s: float
    seconds: float
    seed: int


class AskHttp(msgspec.Struct, frozen=True, tag="ask_http"):
    """POST /v1/recommend, customers by turns."""

    url: str
    customers: list[str]
    k: int


class AskGrpc(msgspec.Struct, frozen=True, tag="ask_grpc"):
    """The same over gRPC; one connection for all clients, as HTTP/2 is meant."""

    address: str
    customers: list[str]
    k: int


class Look(msgspec.Struct, frozen=True, tag="look"):
    """One event a request to the collector: a customer looks at an item."""

    url: str
    write_key: str
    customers: list[str]
    items: list[RecommendedItem]
    seed: int


class Follow(msgspec.Struct, frozen=True, tag="follow"):
    """One event, then the answer that has seen it: asked for with its log position.

    The time runs from sending the event to holding that answer; the list before it is asked
    for ahead of time.
    """

    look: Look
    api_url: str
    k: int


class Stream(msgspec.Struct, frozen=True):
    """One thing to do over and over, `warm_up` times first without counting."""

    name: str
    what: AskHttp | AskGrpc | Look | Follow
    how: Closed | Open
    warm_up: int = 20


class Job(msgspec.Struct, frozen=True):
    """Streams that run at the same time."""

    streams: list[Stream]


class Seen(msgspec.Struct, frozen=True):
    """What one stream saw. Refusals (429, RESOURCE_EXHAUSTED) and failures are no answers."""

    name: str
    answers_ms: list[float]
    refused: int
    failed: int
    wall_s: float
    late_p99_ms: float  # how late the generator itself was to ask; 0 where it goes by answers
    changed: int = 0  # lists that differed from the one before the event


class Outcome(msgspec.Struct, frozen=True):
    """What all streams saw, and how much of one core asking took."""

    seen: list[Seen]
    core_share: float


class Tick(msgspec.Struct, frozen=True):
    """A line of progress: seconds of measuring that have passed."""

    seconds: float
