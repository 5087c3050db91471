"""The online feature store's one write path (contract 4) and its decoded reads.

A commit is one single-key script: it checks the log sequence and the revision, then writes
Feast's fields, our state and the sequence in one HSET. So a redelivered event is a no-op, a
stale second writer is refused, and what Feast reads is never half of an update.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class CustomerReading:
    """One customer as the hot path reads it. `known_at_us` is 0 for a stranger."""

    state: CustomerState
    known_at_us: int
    position: LogPosition | None


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


def parse_item(reply: Sequence[bytes | None]) -> ItemState:
    """The reply to `ITEM_VIEW.read_fields`; an unknown item reads as an empty state."""
    decoded = ITEM_VIEW.decode(reply)
    return item.EMPTY if decoded is None else item_state(decoded[0])


__all__ = [
    "COMMIT_SCRIPT",
    "CUSTOMER_VIEW",
    "ITEM_VIEW",
    "CommitResult",
    "CustomerReading",
    "Held",
    "commit_args",
    "customer_columns",
    "customer_fields",
    "held_fields",
    "item_columns",
    "parse_customer",
    "parse_held",
    "parse_item",
]
