"""Who may be written to and by which ways, as customers themselves have said and done.

Consent is the newest statement that a customer's events carry. It must grant marketing by when it
was made and by when it became known, and nothing on the log that history does not hold yet may
say otherwise: where two disagree, the one that says no counts.

What history cannot know: events of customers who withdrew even analytics are refused and kept
nowhere. Whoever withdraws everything must be named in the file to leave out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
import redis

from nearline import history
from nearline.contracts.event import EXPOSURE, ITEM_LISTED, NOTHING_SHOWN, Event, Purpose
from nearline.log import scan_partition
from nearline.transforms.buckets import DAY_US
from serving.lists.model import Channel, Grounds, Way

CAME_BY_DAYS = 90
_NOT_OF_CUSTOMERS = (EXPOSURE, NOTHING_SHOWN, ITEM_LISTED)
_MEMORY = "1GB"
_PAGE = 2_000
_ORDER = (Channel.PUSH, Channel.EMAIL, Channel.SMS)  # Where nothing else decides.

# Segment's own places: context.device.token is a push token, context.campaign.medium what led
# to a visit. A payload is JSON text, and only those that may hold such a thing are parsed.
_REACH = """
create table reach as
with said as (
  select customer_id, occurred_at_us, known_at_us,
         (not list_contains(consent, 'marketing'))::bigint as refuses, payload
  from read_parquet($files, hive_partitioning = false)
  where name not in $others
), told as (
  select *,
    case when contains(payload, '"token"') and json_valid(payload)
      then coalesce(payload ->> '$.context.device.token', '') <> '' else false end as push,
    case when contains(payload, '"email"') and json_valid(payload)
      then coalesce(payload ->> '$.traits.email', payload ->> '$.context.traits.email', '') <> ''
      else false end as email,
    case when contains(payload, '"phone"') and json_valid(payload)
      then coalesce(payload ->> '$.traits.phone', payload ->> '$.context.traits.phone', '') <> ''
      else false end as sms,
    case when occurred_at_us > $came_since and contains(payload, '"medium"')
              and json_valid(payload)
      then lower(payload ->> '$.context.campaign.medium') end as medium
  from said
)
select customer_id,
       max([occurred_at_us, refuses])[2] = 0 and max([known_at_us, refuses])[2] = 0 as allowed,
       bool_or(push) as push, bool_or(email) as email, bool_or(sms) as sms,
       count(*) filter (medium = 'push') as by_push,
       count(*) filter (medium = 'email') as by_email,
       count(*) filter (medium = 'sms') as by_sms
from told group by customer_id
"""


@dataclass(frozen=True, slots=True)
class Reachable:
    """Somebody who consented to marketing, and the ways to them, best first."""

    customer_id: str
    ways: tuple[Way, ...]


class Reach:
    """Everybody that history knows; only those who consented are ever named."""

    def __init__(self, db: duckdb.DuckDBPyConnection, refused_since: frozenset[str]) -> None:
        self._db, self._refused_since = db, refused_since
        self.known, self.consenting = db.execute(
            "select count(*), count(*) filter (allowed) from reach"
        ).fetchone() or (0, 0)

    def pages(self, size: int) -> Iterator[list[Reachable]]:
        """Those who consented, by id, so many at a time."""
        after = ""
        while rows := self._db.execute(
            "select * exclude (allowed) from reach where allowed and customer_id > ? "
            "order by customer_id limit ?",
            [after, size],
        ).fetchall():
            after = rows[-1][0]
            yield [
                Reachable(row[0], ways_of(row[1:4], row[4:7]))
                for row in rows
                if row[0] not in self._refused_since
            ]


@contextmanager
def reach(
    root: Path, client: redis.Redis, partitions: int, now_us: int, spill: Path
) -> Iterator[Reach]:
    """Read history, then what is on the log beyond it; `spill` is where DuckDB may put more."""
    held = history.snapshot(root)
    spill.mkdir(parents=True, exist_ok=True)
    with duckdb.connect(
        config={"memory_limit": _MEMORY, "temp_directory": str(spill), "threads": 2}
    ) as db:
        if held.files:
            values = {
                "files": list(map(str, held.files)),
                "others": list(_NOT_OF_CUSTOMERS),
                "came_since": now_us - CAME_BY_DAYS * DAY_US,
            }
            db.execute(_REACH, values)
        else:
            db.execute(
                "create table reach (customer_id varchar, allowed boolean, push boolean, "
                "email boolean, sms boolean, by_push bigint, by_email bigint, by_sms bigint)"
            )
        events = (
            entry.event
            for partition in range(partitions)
            for page in scan_partition(client, partition, held.positions.get(partition), _PAGE)
            for entry in page
        )
        yield Reach(db, refused_in(events))


def refused_in(events: Iterable[Event]) -> frozenset[str]:
    """Customers of whom any of these events states no consent to marketing."""
    return frozenset(
        event.customer_id
        for event in events
        if event.name not in _NOT_OF_CUSTOMERS and Purpose.MARKETING not in event.consent
    )


def ways_of(addresses: Iterable[bool], visits: Iterable[int]) -> tuple[Way, ...]:
    """Ways best first: by which one came most often, then those with an address, then onsite.

    Both in the order push, email, sms. Onsite is the last resort of those without any.
    """
    came: Mapping[Channel, int] = dict(zip(_ORDER, visits, strict=True))
    stated = dict(zip(_ORDER, addresses, strict=True))
    found = [channel for channel in _ORDER if stated[channel] or came[channel]]
    found.sort(key=lambda channel: -came[channel])  # Stable: the order decides where it is equal.
    if not found:
        return (Way(Channel.ONSITE, Grounds.NO_ADDRESS),)
    return tuple(
        Way(channel, Grounds.CAME_BY if came[channel] else Grounds.REACHABLE) for channel in found
    )
