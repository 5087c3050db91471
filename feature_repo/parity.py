"""Train equals serve, measured: online vectors against offline ones, bit for bit.

Seeded events go through the real log into a real store, in the order of the log. At sampled
instants the vectors of customers and items are read online, directly and by the Feast SDK.
Then the log becomes history, history becomes offline rows, and Feast's point-in-time join
must give the same bits for each (entity, instant) pair.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import pandas as pd
import redis
import redis.asyncio

from feature_repo.finishing import AS_OF, CUSTOMER, ITEM, Profile
from feature_repo.retrieval import apply, historical, online
from nearline.contracts.event import Event, Line, Purpose, StatedFacts
from nearline.contracts.position import LogPosition, partition_of, start_of
from nearline.errors import PermanentError
from nearline.feast_layout import ViewLayout
from nearline.history import day_of, log_file_name, table_of, write_day_file
from nearline.log import Entry, EventLog, read_after, scan_partition
from nearline.offline import snapshot
from nearline.online import (
    COMMIT_SCRIPT,
    CommitResult,
    commit_args,
    customer_fields,
    held_fields,
    parse_customer,
    parse_held,
    parse_item,
)
from nearline.say import say
from nearline.settings import Settings
from nearline.transforms import customer, item
from nearline.transforms.buckets import DAY_US, HOUR_US, MINUTE_US

PARTITIONS = 4
_PAIRS_AT_AN_INSTANT = 10
_START_US = 1_760_000_400_000_000
_NAMES = ("view_item", "add_to_cart", "purchase", "add_to_wishlist", "item_listed", "search")
_WEIGHTS = (70, 12, 7, 4, 3, 4)


@dataclass(frozen=True, slots=True)
class Reading:
    """The vectors of one entity at one instant, in the order of its features."""

    profile: Profile
    entity_id: str
    as_of_us: int
    direct: tuple[str, ...]  # each float as hexadecimal: equal texts are equal bits
    by_feast: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Parity:
    """How many pairs were compared, and how many differed in at least one bit."""

    customer_pairs: int
    item_pairs: int
    known_pairs: int  # pairs whose entity had a state by then; the others compare strangers
    features: int
    mismatches: int  # online read directly, against offline
    feast_mismatches: int  # online read by the Feast SDK, against offline

    @property
    def holds(self) -> bool:
        return not self.mismatches and not self.feast_mismatches

    def summary(self) -> str:
        """The figures, in words."""
        return say(
            f"parity: {self.customer_pairs:,} (customer, instant) and {self.item_pairs:,} "
            f"(item, instant) pairs, {self.known_pairs:,} of entities known by then, "
            f"{self.features:,} float64 values compared bit for bit\n"
            f"mismatches: {self.mismatches} read directly, {self.feast_mismatches} by the "
            "Feast SDK",
            f"一致性：{self.customer_pairs:,} 个（客户，时刻）与 "
            f"{self.item_pairs:,} 个（商品，时刻），"
            f"其中 {self.known_pairs:,} 个已有状态，逐位比较 {self.features:,} 个 float64 值\n"
            f"不一致：直接读取 {self.mismatches}，经 Feast SDK {self.feast_mismatches}",
        )


def measure(
    settings: Settings,
    *,
    pairs: int = 1_000,
    events: int = 3_000,
    seed: int = 7,
    progress: Callable[[int], object] = lambda done: None,
) -> Parity:
    """Compare `pairs` customers and as many items; the store at `settings` must be empty."""
    store = apply(settings)
    client = redis.Redis.from_url(settings.redis_address)
    rng = random.Random(seed)  # noqa: S311 - a simulation
    log = list(seeded_events(rng, events))
    instants = sample_instants(rng, log, -(-pairs // _PAIRS_AT_AN_INSTANT))
    readings: list[Reading] = []
    worker = Worker(client)
    with asyncio.Runner() as runner:
        sent = 0
        for as_of_us in instants:
            upto = sent
            while upto < len(log) and log[upto].known_at_us <= as_of_us:
                upto += 1
            runner.run(_append(settings.redis_address, log[sent:upto]))
            worker.drain()
            sent = upto
            for profile, name in ((CUSTOMER, "customer-"), (ITEM, "item-")):
                names = [f"{name}{_suffix(rng)}" for _ in range(_PAIRS_AT_AN_INSTANT)]
                readings += _read(client, store, profile, names, as_of_us)
            progress(_PAIRS_AT_AN_INSTANT)
    archive(client, settings.history)
    snapshot(settings.history, settings.offline)
    readings = [r for r in readings if r.profile is CUSTOMER][:pairs] + [
        r for r in readings if r.profile is ITEM
    ][:pairs]
    offline = {
        profile.service: _offline(store, profile, [r for r in readings if r.profile is profile])
        for profile in (CUSTOMER, ITEM)
    }
    expected = [*offline[CUSTOMER.service], *offline[ITEM.service]]
    compared = list(zip(readings, expected, strict=True))
    client.close()
    return Parity(
        customer_pairs=len(offline[CUSTOMER.service]),
        item_pairs=len(offline[ITEM.service]),
        known_pairs=sum(vector != _stranger(reading) for reading, vector in compared),
        features=sum(len(vector) for vector in expected),
        mismatches=sum(reading.direct != vector for reading, vector in compared),
        feast_mismatches=sum(reading.by_feast != vector for reading, vector in compared),
    )


def seeded_events(rng: random.Random, count: int) -> Iterator[Event]:
    """Events in the order in which they became known, over about 45 days.

    Some arrive late, some share an instant, some are sent twice, some carry several items,
    no price, no category or no consent; ids are not all ASCII.
    """
    now_us = _START_US
    for number in range(count):
        if rng.random() > 0.1:  # One in ten shares the instant of the event before.
            now_us += int(rng.expovariate(1.0) * 45 * DAY_US / count) + 1
        late_us = 0
        if rng.random() < 0.3:
            late_us = rng.choice([rng.randrange(MINUTE_US), rng.randrange(3 * DAY_US)])
        granted = rng.random() < 0.95
        event = Event(
            event_id=f"event-{number}",
            type="track",
            name=rng.choices(_NAMES, _WEIGHTS)[0],
            customer_id=f"customer-{_suffix(rng)}",
            occurred_at_us=now_us - late_us,
            known_at_us=now_us,
            source="parity",
            lines=tuple(_line(rng) for _ in range(rng.choice([1, 1, 1, 2, 3]))),
            value_cents=rng.choice([None, rng.randrange(100_000)]),
            consent=(Purpose.ANALYTICS, Purpose.PERSONALIZATION) if granted else (),
        )
        yield event
        if rng.random() < 0.03:  # Sent again; the log knows it and keeps one.
            yield event


def sample_instants(rng: random.Random, log: Sequence[Event], count: int) -> list[int]:
    """Instants in order: of events, on the edges of buckets, and anywhere between."""
    first_us, last_us = log[0].known_at_us, log[-1].known_at_us
    chosen = []
    for number in range(count):
        if number % 3 == 0:
            chosen.append(rng.choice(log).known_at_us)
        elif number % 3 == 1:
            edge = rng.choice([MINUTE_US, 30 * MINUTE_US, 6 * HOUR_US])
            chosen.append(rng.randrange(first_us, last_us) // edge * edge + edge)
        else:
            chosen.append(rng.randrange(first_us, last_us + 2 * DAY_US))
    return sorted(chosen)


class Worker:
    """The least that a stream worker must do: read the log in order, fold, commit."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client
        self._commit = client.register_script(COMMIT_SCRIPT)
        self._positions = {partition: start_of(partition) for partition in range(PARTITIONS)}

    def drain(self) -> None:
        """Apply everything that lies on the log."""
        while pages := read_after(self._client, self._positions, count=500, block_ms=None):
            for partition, entries in pages.items():
                self._apply(entries)
                self._positions[partition] = entries[-1].position

    def _apply(self, entries: Sequence[Entry]) -> None:
        """Fold one partition's entries, entity by entity, and commit each once."""
        touched: dict[tuple[Profile, str], tuple[Any, int, LogPosition]] = {}
        for entry in entries:
            event = entry.event
            states: list[tuple[Profile, str, Any]] = [
                (ITEM, item_id, state) for item_id, state in item.states_of(event).items()
            ]
            state = customer.state_of(event)
            if state != customer.EMPTY:
                states.append((CUSTOMER, event.customer_id, state))
            for profile, name, change in states:
                held = touched.get((profile, name))
                total = held[0] + change if held else change
                touched[profile, name] = (total, event.known_at_us, entry.position)
        with self._client.pipeline(transaction=False) as pipe:
            for (profile, name), (_, _, position) in touched.items():
                layout = profile.layout
                pipe.hmget(layout.key(name), held_fields(layout, position.partition))  # type: ignore[arg-type]
            replies = pipe.execute()
            for ((profile, name), folded), reply in zip(touched.items(), replies, strict=True):
                change, known_at_us, position = folded
                held_row = parse_held(profile.layout, position.partition, reply)
                state = profile.state_of(held_row.row) + change
                self._commit(
                    keys=[profile.layout.key(name)],
                    args=commit_args(
                        profile.layout,
                        profile.columns_of(state),
                        max(known_at_us, held_row.known_at_us),
                        position,
                        held_row.revision,
                    ),
                    client=pipe,
                )
            results = set(pipe.execute())
        if results - {CommitResult.APPLIED.encode()}:
            raise PermanentError(f"commits into an empty store answered {sorted(results)}")


def archive(client: redis.Redis, history: Path) -> None:
    """Write the whole log as history, a file for each partition and day."""
    for partition in range(PARTITIONS):
        entries = [entry for page in scan_partition(client, partition) for entry in page]
        for day, group in groupby(entries, key=lambda entry: day_of(entry.event)):
            rows = list(group)
            positions = [row.position for row in rows]
            table = table_of([row.event for row in rows], positions)
            write_day_file(history, day, log_file_name(positions[0], positions[-1]), table)


async def _append(url: str, events: Sequence[Event]) -> None:
    async with redis.asyncio.Redis.from_url(url) as client:
        log = EventLog(client, PARTITIONS)
        for start in range(0, len(events), 200):
            await log.append(events[start : start + 200])


def _read(
    client: redis.Redis, store: Any, profile: Profile, names: list[str], as_of_us: int
) -> list[Reading]:
    by_feast = [_bits(row) for row in online(store, profile.service, names, as_of_us).to_numpy()]
    direct = [
        _bits(profile.finish(_state(client, profile, name), as_of_us).values()) for name in names
    ]
    return [
        Reading(profile, name, as_of_us, one, other)
        for name, one, other in zip(names, direct, by_feast, strict=True)
    ]


def _state(client: redis.Redis, profile: Profile, name: str) -> Any:
    layout: ViewLayout = profile.layout
    if profile is ITEM:
        reply: Any = client.hmget(layout.key(name), layout.read_fields)  # type: ignore[arg-type]
        return parse_item(reply)
    partition = partition_of(name, PARTITIONS)
    reply = client.hmget(layout.key(name), customer_fields(partition))  # type: ignore[arg-type]
    return parse_customer(partition, reply).state


def _offline(store: Any, profile: Profile, readings: list[Reading]) -> list[tuple[str, ...]]:
    frame = pd.DataFrame(
        {
            profile.layout.join_key: [reading.entity_id for reading in readings],
            AS_OF: [reading.as_of_us for reading in readings],
        }
    )
    answer = historical(store, frame, profile.service)[profile.names]
    return [_bits(row) for row in answer.to_numpy()]


def _stranger(reading: Reading) -> tuple[str, ...]:
    return _bits(reading.profile.finish(reading.profile.state_of({}), reading.as_of_us).values())


def _bits(values: Any) -> tuple[str, ...]:
    return tuple(float(value).hex() for value in values)


def _suffix(rng: random.Random) -> str:
    number = min(int(rng.expovariate(1 / 12)), 59)
    return f"{number}-é客" if number % 7 == 0 else str(number)


def _line(rng: random.Random) -> Line:
    return Line(
        item_id=f"item-{_suffix(rng)}",
        quantity=rng.choice([1, 1, 2]),
        price_cents=rng.choice([None, rng.randrange(1, 50_000)]),
        category=rng.choice([None, "shoes", "灯具", "books", "garden"]),
        facts=rng.choice([None, StatedFacts(stock=rng.randrange(3), rating_hundredths=435)]),
    )
