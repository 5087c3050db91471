"""The event log on Redis Streams: append with verdicts, read in order (contract 2).

One script per partition and batch checks message ids, appends, keeps dead letters and counts
all outcomes, atomically. The server runs with `appendfsync always`, so its reply means on
disk. Readers keep a position and read everything after it in order; there are no consumer
groups (docs/decisions/0003-positions-not-groups.md).
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import redis
import redis.asyncio

from nearline import keys
from nearline.clock import Clock, SystemClock
from nearline.contracts.event import Event, decode_event, encode_event
from nearline.contracts.position import LogPosition, partition_of, start_of
from nearline.contracts.verdict import Outcome, Verdict
from nearline.errors import PermanentError
from nearline.transforms.buckets import DAY_US

REMEMBER_IDS_DAYS = 8  # Duplicates are known for at least 7 full days.

# KEYS: log, dead letters, counts, ids seen today, ids seen tomorrow (by a collector whose clock
# is ahead), ids seen on each of the days before.
# ARGV: lifetime of today's ids in s, then four values for each event:
#   'event', digest, bytes, ''  |  'reject', code, hint, raw  |  'refuse', '', '', ''
# Replies one text per event: its stream id, 'duplicate', 'rejected' or 'consent_refused'.
APPEND_SCRIPT = """
local replies = {}
local stored, duplicate, rejected, refused = 0, 0, 0, 0
for at = 2, #ARGV, 4 do
  local action = ARGV[at]
  if action == 'event' then
    local digest, known = ARGV[at + 1], false
    for day = 4, #KEYS do
      if redis.call('SISMEMBER', KEYS[day], digest) == 1 then known = true; break end
    end
    if known then
      duplicate = duplicate + 1
      replies[#replies + 1] = 'duplicate'
    else
      redis.call('SADD', KEYS[4], digest)
      replies[#replies + 1] = redis.call('XADD', KEYS[1], '*', 'e', ARGV[at + 2])
      stored = stored + 1
    end
  elseif action == 'reject' then
    redis.call('XADD', KEYS[2], '*', 'code', ARGV[at + 1], 'hint', ARGV[at + 2], 'raw', ARGV[at + 3])
    rejected = rejected + 1
    replies[#replies + 1] = 'rejected'
  else
    refused = refused + 1
    replies[#replies + 1] = 'consent_refused'
  end
end
if stored > 0 then redis.call('EXPIRE', KEYS[4], ARGV[1]) end
redis.call('HINCRBY', KEYS[3], 'received', stored + duplicate + rejected + refused)
redis.call('HINCRBY', KEYS[3], 'stored', stored)
redis.call('HINCRBY', KEYS[3], 'duplicate', duplicate)
redis.call('HINCRBY', KEYS[3], 'rejected', rejected)
redis.call('HINCRBY', KEYS[3], 'consent_refused', refused)
return replies
"""  # noqa: E501 - one Lua statement a line


@dataclass(frozen=True, slots=True)
class Rejection:
    """An event that cannot be taken: why, what to mend, and its bytes for the dead letters."""

    code: str
    hint: str
    raw: bytes
    event_id: str | None = None


@dataclass(frozen=True, slots=True)
class ConsentRefusal:
    """An event that its customer did not allow; nothing of it is kept but the count."""

    code: str
    hint: str
    event_id: str | None = None


Submission = Event | Rejection | ConsentRefusal


class EventLog:
    """The write side of the log. Safe to share within one event loop."""

    def __init__(
        self, client: redis.asyncio.Redis, partitions: int, clock: Clock | None = None
    ) -> None:
        self._client = client
        self.partitions = partitions
        self._clock = clock or SystemClock()
        self._append = client.register_script(APPEND_SCRIPT)

    async def append(self, batch: Sequence[Submission]) -> list[Verdict]:
        """Store a batch; return one verdict for each entry, in order.

        When this returns, what is `accepted` lies on disk. Raises redis.RedisError when the
        server cannot be reached: then nothing is known of the batch, and sending it again is
        safe, since message ids are remembered.
        """
        verdicts: list[Verdict | None] = [None] * len(batch)
        by_partition = self._by_partition(batch)
        today = self._clock.now_us() // DAY_US
        # All partitions at once: the server then syncs them to disk together. Each is awaited
        # even when another fails, so that nothing is still being written after this returns.
        answers: list[list[bytes] | BaseException] = await asyncio.gather(
            *(
                self._append(
                    keys=_append_keys(partition, today),
                    args=_append_args([batch[place] for place in places]),
                )
                for partition, places in by_partition.items()
            ),
            return_exceptions=True,
        )
        for (partition, places), replies in zip(by_partition.items(), answers, strict=True):
            if isinstance(replies, BaseException):
                raise replies
            for place, reply in zip(places, replies, strict=True):
                verdicts[place] = _verdict(batch[place], partition, reply.decode())
        return [verdict for verdict in verdicts if verdict is not None]

    async def counts(self) -> dict[str, int]:
        """How many events were received, stored, duplicate, rejected and refused, ever."""
        totals = dict.fromkeys(("received", "stored", "duplicate", "rejected"), 0)
        totals["consent_refused"] = 0
        for partition in range(self.partitions):
            held: Any = await self._client.hgetall(keys.counts(partition))  # type: ignore[misc]
            for name, number in held.items():
                totals[name.decode()] += int(number)
        return totals

    def _by_partition(self, batch: Sequence[Submission]) -> dict[int, list[int]]:
        places: dict[int, list[int]] = {}
        for place, entry in enumerate(batch):
            # What has no customer is counted and kept where its message id says.
            owner = entry.customer_id if isinstance(entry, Event) else entry.event_id or ""
            places.setdefault(partition_of(owner, self.partitions), []).append(place)
        return places


@dataclass(frozen=True, slots=True)
class Entry:
    """One event with its place on the log."""

    position: LogPosition
    event: Event


@dataclass(frozen=True, slots=True)
class Page:
    """A gapless stretch of one partition, up to and including `last`.

    `unreadable` are the places of entries that this version cannot decode. They are part of
    the stretch: a reader that skipped them silently could never get past a page of them.
    """

    entries: list[Entry]
    unreadable: list[LogPosition]
    last: LogPosition


def read_pages(
    client: redis.Redis,
    positions: Mapping[int, LogPosition],
    *,
    count: int,
    block_ms: int | None,
) -> dict[int, Page]:
    """What follows the given positions, in order, at most `count` entries of each partition.

    Waits up to `block_ms` when there is nothing (None: does not wait) and then returns {}.
    """
    streams = _streams(positions)
    return _pages(positions, client.xread(streams, count=count, block=block_ms))  # type: ignore[arg-type]


async def read_pages_now(
    client: redis.asyncio.Redis, positions: Mapping[int, LogPosition], *, count: int
) -> dict[int, Page]:
    """The same for an event loop; what is there now, without waiting for more."""
    return _pages(positions, await client.xread(_streams(positions), count=count))  # type: ignore[arg-type]


def read_after(
    client: redis.Redis,
    positions: Mapping[int, LogPosition],
    *,
    count: int,
    block_ms: int | None,
) -> dict[int, list[Entry]]:
    """The readable events that follow the given positions, as `read_pages` reads them.

    Each list holds at least one event: a page of unreadable entries alone is passed over.
    """
    found: dict[int, list[Entry]] = {}
    waiting = dict(positions)
    while waiting:
        pages = read_pages(client, waiting, count=count, block_ms=None if found else block_ms)
        found |= {partition: page.entries for partition, page in pages.items() if page.entries}
        waiting = {p: page.last for p, page in pages.items() if not page.entries}
    return found


def scan_partition(
    client: redis.Redis, partition: int, after: LogPosition | None = None, count: int = 5_000
) -> Iterator[list[Entry]]:
    """All events of a partition after a position, in pages, until there are no more."""
    position = after or start_of(partition)
    while page := read_after(client, {partition: position}, count=count, block_ms=None).get(
        partition
    ):
        yield page
        position = page[-1].position


def claim_partitions(client: redis.Redis, partitions: int) -> None:
    """Fix the number of partitions at the first start; refuse another number ever after."""
    if partitions < 1:
        raise PermanentError(f"NEARLINE_PARTITIONS={partitions}: a log has at least one partition")
    client.hsetnx(keys.META, "partitions", str(partitions))
    held = int(client.hget(keys.META, "partitions") or partitions)  # type: ignore[arg-type]
    if held != partitions:
        raise PermanentError(
            f"this log was made with {held} partitions, and NEARLINE_PARTITIONS asks for "
            f"{partitions}: customers would change partition and be counted twice. "
            f"Set NEARLINE_PARTITIONS={held}, or start a new home folder."
        )


def _streams(positions: Mapping[int, LogPosition]) -> dict[str, str]:
    return {keys.log(p): position.stream_id for p, position in positions.items()}


def _pages(positions: Iterable[int], reply: Any) -> dict[int, Page]:
    partition_by_key = {keys.log(p).encode(): p for p in positions}
    pairs = reply.items() if isinstance(reply, dict) else reply or []
    return {partition_by_key[key]: _page(partition_by_key[key], raw) for key, raw in pairs}


def _page(partition: int, raw: Sequence[tuple[bytes, Mapping[bytes, bytes]]]) -> Page:
    entries: list[Entry] = []
    unreadable: list[LogPosition] = []
    position = start_of(partition)
    for stream_id, fields in raw:
        position = LogPosition.of(partition, stream_id)
        try:
            entries.append(Entry(position, decode_event(fields[b"e"])))
        except (ValueError, KeyError):
            unreadable.append(position)
    return Page(entries, unreadable, position)


def _append_keys(partition: int, today: int) -> list[str]:
    days = (today, today + 1, *(today - back for back in range(1, REMEMBER_IDS_DAYS + 1)))
    seen = [keys.seen(partition, day) for day in days]
    return [keys.log(partition), keys.dead_letters(partition), keys.counts(partition), *seen]


def _append_args(entries: Sequence[Submission]) -> list[bytes | str | int]:
    args: list[bytes | str | int] = [(REMEMBER_IDS_DAYS + 1) * DAY_US // 1_000_000]
    for entry in entries:
        if isinstance(entry, Event):
            args += ("event", _digest(entry.event_id), encode_event(entry), "")
        elif isinstance(entry, Rejection):
            args += ("reject", entry.code, entry.hint, entry.raw)
        else:
            args += ("refuse", "", "", "")
    return args


def _digest(event_id: str) -> bytes:
    return hashlib.blake2b(event_id.encode(), digest_size=12).digest()


def _verdict(entry: Submission, partition: int, reply: str) -> Verdict:
    if isinstance(entry, Event):
        if reply == Outcome.DUPLICATE:
            return Verdict(Outcome.DUPLICATE, entry.event_id)
        position = LogPosition.of(partition, reply)
        return Verdict(Outcome.ACCEPTED, entry.event_id, position)
    return Verdict(Outcome(reply), entry.event_id, code=entry.code, hint=entry.hint)


__all__ = [
    "ConsentRefusal",
    "Entry",
    "EventLog",
    "Page",
    "Rejection",
    "Submission",
    "claim_partitions",
    "read_after",
    "read_pages",
    "read_pages_now",
    "scan_partition",
]
