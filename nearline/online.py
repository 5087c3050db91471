"""The online feature store's one write path (contract 4) and its decoded reads.

A commit is one single-key script: it checks the log sequence and the revision, then writes
Feast's fields, our state and the sequence in one HSET. So a redelivered event is a no-op, a
stale second writer is refused, and what Feast reads is never half of an update.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from nearline.contracts.position import LogPosition
from nearline.feast_layout import CUSTOMER_VIEW, ITEM_VIEW, REVISION, ViewLayout, sequence_field
from nearline.transforms import customer, item
from nearline.transforms.columns import (
    Columns,
    customer_columns,
    customer_state,
    item_columns,
    item_state,
)
from nearline.transforms.customer import CustomerState
from nearline.transforms.item import ItemState

# KEYS[1] entity hash. ARGV: sequence field, ms, counter, expected revision, field, value, ...
COMMIT_SCRIPT = """
local held = redis.call('HMGET', KEYS[1], ARGV[1], '_rev')
if held[1] then
  local ms, counter = string.match(held[1], '^(%d+)%-(%d+)$')
  ms, counter = tonumber(ms), tonumber(counter)
  local new_ms, new_counter = tonumber(ARGV[2]), tonumber(ARGV[3])
  if ms > new_ms or (ms == new_ms and counter >= new_counter) then return 'duplicate' end
end
if (held[2] or '0') ~= ARGV[4] then return 'conflict' end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. '-' .. ARGV[3],
           '_rev', string.format('%d', tonumber(ARGV[4]) + 1), unpack(ARGV, 5))
return 'applied'
"""

# The backfill's write: a whole row that covers every partition up to where the fold went.
# It never takes a row back: a row that holds anything newer stays, and 'newer' is answered.
# KEYS[1] entity hash. ARGV: number of partitions P, then ms and counter of the fold's end in
# each of them, then field, value, ... (sequence fields and Feast's).
# The fields are overwritten, not the key replaced: other views of the entity share the hash.
REPLACE_SCRIPT = """
local partitions = tonumber(ARGV[1])
local at = 2
for partition = 0, partitions - 1 do
  local held = redis.call('HGET', KEYS[1], '_seq:' .. partition)
  if held then
    local ms, counter = string.match(held, '^(%d+)%-(%d+)$')
    ms, counter = tonumber(ms), tonumber(counter)
    local upto_ms, upto_counter = tonumber(ARGV[at]), tonumber(ARGV[at + 1])
    if ms > upto_ms or (ms == upto_ms and counter > upto_counter) then return 'newer' end
  end
  at = at + 2
end
for partition = 0, partitions - 1 do
  redis.call('HDEL', KEYS[1], '_seq:' .. partition)
end
local revision = tonumber(redis.call('HGET', KEYS[1], '_rev') or '0') + 1
redis.call('HSET', KEYS[1], '_rev', string.format('%d', revision), unpack(ARGV, at))
return 'replaced'
"""


class CommitResult(StrEnum):
    """What the commit script answered."""

    APPLIED = "applied"
    DUPLICATE = "duplicate"  # Everything up to that sequence is in already.
    CONFLICT = "conflict"  # Somebody else wrote in between: read again.


@dataclass(frozen=True, slots=True)
class Held:
    """What the store holds of one entity, for a writer of one partition.

    `sequence` is the newest position of that partition folded in, None if none is.
    """

    row: Columns
    known_at_us: int
    sequence: LogPosition | None
    revision: int


def held_fields(view: ViewLayout, partition: int) -> list[bytes]:
    """What a writer must HMGET before it folds."""
    return [sequence_field(partition), REVISION, *view.read_fields]


def parse_held(view: ViewLayout, partition: int, reply: Sequence[bytes | None]) -> Held:
    """The reply to `held_fields`; an absent entity reads as an empty row at revision 0."""
    decoded = view.decode(reply[2:])
    row, known_at_us = decoded if decoded else ({}, 0)
    sequence = LogPosition.of(partition, reply[0]) if reply[0] else None
    return Held(row, known_at_us, sequence, int(reply[1] or 0))


def commit_args(
    view: ViewLayout, row: Columns, known_at_us: int, upto: LogPosition, revision: int
) -> list[bytes | str | int]:
    """ARGV of `COMMIT_SCRIPT` for a row that now covers the partition up to `upto`."""
    guard = sequence_field(upto.partition)
    return [guard, upto.ms, upto.counter, revision, *view.encode(row, known_at_us)]


def replace_args(
    view: ViewLayout,
    row: Columns,
    known_at_us: int,
    sequences: Mapping[int, LogPosition],
    upto: Sequence[LogPosition],
) -> list[bytes | str | int]:
    """ARGV of `REPLACE_SCRIPT` for a row folded from everything up to `upto`.

    `upto` holds one position for each partition, in order; `sequences` the newest position of
    each partition that is really in the row, exactly as the stream worker would have left them.
    """
    args: list[bytes | str | int] = [len(upto)]
    for position in upto:
        args += (position.ms, position.counter)
    for partition, position in sorted(sequences.items()):
        args += (sequence_field(partition), position.stream_id)
    return [*args, *view.encode(row, known_at_us)]


@dataclass(frozen=True, slots=True)
class CustomerReading:
    """One customer as the hot path reads it. `known_at_us` is 0 for a stranger."""

    state: CustomerState
    known_at_us: int
    position: LogPosition | None

    def covering(self, seen: LogPosition | None) -> CustomerReading:
        """The same of a row that held all up to `seen` before it was read, if it does not say so.

        An event that changes no row leaves no position in it.
        """
        if seen is None or (self.position is not None and self.position >= seen):
            return self
        return replace(self, position=seen)


def customer_fields(partition: int) -> list[bytes]:
    """What the hot path must HMGET of a customer whose events lie in `partition`."""
    return [sequence_field(partition), *CUSTOMER_VIEW.read_fields]


def parse_customer(partition: int, reply: Sequence[bytes | None]) -> CustomerReading:
    """The reply to `customer_fields`; a stranger reads as an empty state."""
    decoded = CUSTOMER_VIEW.decode(reply[1:])
    if decoded is None:
        return CustomerReading(customer.EMPTY, 0, None)
    row, known_at_us = decoded
    position = LogPosition.of(partition, reply[0]) if reply[0] else None
    return CustomerReading(customer_state(row), known_at_us, position)


@dataclass(frozen=True, slots=True)
class ItemReading:
    """One item as the hot path reads it.

    `sequences` holds, for each partition, the position of the newest event folded in, None
    where there is none: together they say exactly which events the state is made of.
    """

    state: ItemState
    sequences: tuple[LogPosition | None, ...]


def item_fields(partitions: int) -> list[bytes]:
    """What the hot path must HMGET of an item: events of any partition may be in its row."""
    return [*map(sequence_field, range(partitions)), *ITEM_VIEW.read_fields]


def parse_item_reading(partitions: int, reply: Sequence[bytes | None]) -> ItemReading:
    """The reply to `item_fields`; an unknown item reads as an empty state."""
    sequences = tuple(
        LogPosition.of(partition, held) if held else None
        for partition, held in enumerate(reply[:partitions])
    )
    return ItemReading(parse_item(reply[partitions:]), sequences)


def parse_item(reply: Sequence[bytes | None]) -> ItemState:
    """The reply to `ITEM_VIEW.read_fields`; an unknown item reads as an empty state."""
    decoded = ITEM_VIEW.decode(reply)
    return item.EMPTY if decoded is None else item_state(decoded[0])


__all__ = [
    "COMMIT_SCRIPT",
    "CUSTOMER_VIEW",
    "ITEM_VIEW",
    "REPLACE_SCRIPT",
    "CommitResult",
    "CustomerReading",
    "Held",
    "ItemReading",
    "commit_args",
    "customer_columns",
    "customer_fields",
    "held_fields",
    "item_columns",
    "item_fields",
    "parse_customer",
    "parse_held",
    "parse_item",
    "parse_item_reading",
    "replace_args",
]
