"""`nearline replay-answer`: finds how an answer was made, reads what was known, compares."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pyarrow.compute as pc
import redis

from nearline import history, keys, registry
from nearline.clock import utc
from nearline.contracts.answer import Recommendation
from nearline.contracts.event import ITEM_LISTED, KIND_OF_NAME, Event
from nearline.contracts.position import LogPosition
from nearline.log import scan_partition
from nearline.settings import Settings
from serving.bundles import load
from serving.exposures import event_id_of
from serving.features import PopularItem
from serving.keeping import POLICY, POPULAR, popular_of
from serving.made import FIELD, Made, digest_of
from serving.policy.model import Policy, from_canonical
from serving.remaking import Known, NotRemakable, remade

_ID_DIGITS = 32
_CLOCKS_APART_MS = 60_000  # The log's clock and a replica's.
_NAMES = [ITEM_LISTED, *KIND_OF_NAME]

Progress = Callable[[int, int | None], object]  # events read, of how many


class _Payload(msgspec.Struct):
    made: Made | None = msgspec.field(default=None, name=FIELD)


@dataclass(frozen=True, slots=True)
class Replayed:
    """The answer made again, and whether it is the one that was given."""

    answer: Recommendation
    equal: bool
    events: int
    difference: str = ""


def replay(
    settings: Settings, response_id: str, progress: Progress = lambda events, of: None
) -> Replayed:
    """Make an answer again; raises NotRemakable with the reason where that cannot be."""
    as_of_ms = _instant_of(response_id)
    client = redis.Redis.from_url(settings.redis_address)
    try:
        event, made = _record(settings, client, response_id, as_of_ms)
        if not made.exact:
            raise NotRemakable(
                response_id, "the items' states were still being loaded when it was given"
            )
        policy = _policy(client, response_id, made)
        popular = _popular(client, response_id, made)
        bundle = None
        if made.bundle:
            folder = registry.download(settings.mlflow_uri, made.bundle, settings.bundles)
            bundle = load(folder, made.bundle)
        known, events = Known(made, event.occurred_at_us), 0
        for one, position in _events(settings, client, event.occurred_at_us, progress):
            known.add(one, position)
            events += 1
    finally:
        client.close()
    answer = remade(response_id, known, bundle, policy, popular).answer
    equal = digest_of(answer) == made.digest
    return Replayed(answer, equal, events, "" if equal else _difference(event, answer))


def _instant_of(response_id: str) -> int:
    try:
        if len(response_id) != _ID_DIGITS:
            raise ValueError
        return int(response_id[:12], 16)
    except ValueError:
        raise NotRemakable(
            response_id[:64], "that is no response id; expected 32 hexadecimal digits"
        ) from None


def _record(
    settings: Settings, client: redis.Redis, response_id: str, as_of_ms: int
) -> tuple[Event, Made]:
    wanted = event_id_of(response_id)
    for event in _candidates(settings, client, wanted, as_of_ms):
        made = msgspec.json.decode(event.payload, type=_Payload).made
        if made is None:
            raise NotRemakable(response_id, "it was given by a version that kept too little of it")
        return event, made
    raise NotRemakable(
        response_id,
        "neither the log nor history knows it. It may be as of a stated instant, which is not "
        "kept; or its exposure still waits for the log (GET /healthz: exposures_waiting)",
    )


def _candidates(
    settings: Settings, client: redis.Redis, wanted: str, as_of_ms: int
) -> Iterator[Event]:
    for partition in range(settings.partitions):
        start = LogPosition(partition, max(0, as_of_ms - _CLOCKS_APART_MS), 0)
        for page in scan_partition(client, partition, start):
            yield from (entry.event for entry in page if entry.event.event_id == wanted)
    days = {utc((as_of_ms + shift) * 1_000).strftime("%Y-%m-%d") for shift in (0, 86_400_000)}
    held = _of_days(history.snapshot(settings.history), lambda day: day in days)
    for _, table in history.read_days(settings.history, held):
        yield from history.events_of(table.filter(pc.equal(table["event_id"], wanted)))


def _events(
    settings: Settings, client: redis.Redis, as_of_us: int, progress: Progress
) -> Iterator[tuple[Event, LogPosition | None]]:
    """Everything that may have been known: history to the answer's day, then the log behind it."""
    whole = history.snapshot(settings.history)
    last = utc(as_of_us + 86_400_000_000).strftime("%Y-%m-%d")
    held = _of_days(whole, lambda day: day <= last)
    total = sum(map(history.rows_in, held.files))
    for _, table in history.read_days(settings.history, held, history.LEAN):
        part = table.filter(pc.is_in(table["name"], value_set=_names()))
        yield from zip(history.events_of(part), history.positions_of(part), strict=True)
        progress(table.num_rows, total)
    for partition in range(settings.partitions):
        for page in scan_partition(client, partition, whole.positions.get(partition)):
            yield from ((entry.event, entry.position) for entry in page)


def _of_days(whole: history.Snapshot, wanted: Callable[[str], bool]) -> history.Snapshot:
    def day_of(path: Path) -> str:
        return path.parent.name.removeprefix("day=")

    files = tuple(path for path in whole.files if wanted(day_of(path)))
    return history.Snapshot(files, whole.positions)


def _policy(client: redis.Redis, response_id: str, made: Made) -> Policy:
    kept = client.get(keys.kept(POLICY, made.policy))
    if kept is None:
        raise NotRemakable(
            response_id, f"its scene and rule files (version {made.policy}) are no longer kept"
        )
    return from_canonical(kept)  # type: ignore[arg-type]


def _popular(client: redis.Redis, response_id: str, made: Made) -> tuple[PopularItem, ...]:
    if not made.popular:
        return ()
    kept = client.get(keys.kept(POPULAR, made.popular))
    if kept is None:
        raise NotRemakable(response_id, "the list of popular items that answered is gone")
    return popular_of(kept)  # type: ignore[arg-type]


def _difference(event: Event, answer: Recommendation) -> str:
    given = [line.item_id for line in event.lines]
    again = [item.item_id for item in answer.items]
    if given != again:
        place = next(
            (n for n, (a, b) in enumerate(zip(given, again, strict=False)) if a != b),
            min(len(given), len(again)),
        )
        return (
            f"DIFFERENT: from place {place + 1} on the list is {again[place : place + 5]}, it was "
            f"{given[place : place + 5]}. History that was imported, erased or changed since then "
            "makes another answer."
        )
    return (
        "DIFFERENT: the same items in the same order, but other bytes (scores, ages, reasons). "
        "A machine that computes floating point otherwise does that; so does other code."
    )


def _names() -> object:
    import pyarrow as pa

    return pa.array(_NAMES)
