"""`nearline replay-answer`: finds how an answer was made, reads what was known, compares."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import redis

from nearline import history, keys, registry
from nearline.clock import utc
from nearline.connecting import connected
from nearline.contracts.event import ITEM_LISTED, KIND_OF_NAME, Event
from nearline.contracts.position import LogPosition, start_of
from nearline.errors import StoreUnavailable
from nearline.log import scan_partition
from nearline.say import say
from nearline.settings import Settings
from serving.bundles import Bundle, load
from serving.comparing import Replayed, compared
from serving.exposures import event_id_of
from serving.features import PopularItem
from serving.keeping import POLICY, POPULAR, popular_of
from serving.made import Made, made_in
from serving.policy.model import Policy, from_canonical
from serving.remaking import Known, NotRemakable, remade

_ID_DIGITS = 32
_CLOCKS_APART_MS = 60_000  # The log's clock and a replica's.
_NAMES = [ITEM_LISTED, *KIND_OF_NAME]

_DELETED = "RESOURCE_DOES_NOT_EXIST"  # What MLflow says of a version that is gone.

Progress = Callable[[int, int | None], object]  # events read, of how many


def replay(
    settings: Settings, response_id: str, progress: Progress = lambda events, of: None
) -> Replayed:
    """Make an answer again; raises NotRemakable with the reason where that cannot be.

    Raises StoreUnavailable while Redis or the registry does not answer.
    """
    as_of_ms = _instant_of(response_id)
    client = connected(settings)
    try:
        exposure, made = _record(settings, client, response_id, as_of_ms)
        policy = _policy(settings, client, response_id, made)
        popular = _popular(client, response_id, made)
        bundle = _bundle(settings, response_id, made)
        whole = history.snapshot(settings.history)
        _check_reach(settings, client, response_id, made, whole)
        known, events = Known(made, exposure.occurred_at_us), 0
        for one, position in _events(settings, client, whole, exposure.occurred_at_us, progress):
            known.add(one, position)
            events += 1
        answer = remade(response_id, known, bundle, policy, popular).answer
        found = compared(exposure, made, answer, events)
        if not found.equal:
            _check_whole(settings, client, response_id, made)
        return found
    except redis.RedisError as error:
        raise StoreUnavailable("Redis", settings.redis_shown, type(error).__name__) from error
    finally:
        client.close()


def _instant_of(response_id: str) -> int:
    try:
        if len(response_id) != _ID_DIGITS:
            raise ValueError
        return int(response_id[:12], 16)
    except ValueError:
        raise NotRemakable(
            response_id[:64],
            say(
                "that is no response id; expected 32 hexadecimal digits",
                "这不是答案编号；应为 32 位十六进制数字",
            ),
        ) from None


def _record(
    settings: Settings, client: redis.Redis, response_id: str, as_of_ms: int
) -> tuple[Event, Made]:
    wanted = event_id_of(response_id)
    for exposure in _candidates(settings, client, wanted, as_of_ms):
        made = made_in(exposure)
        if made is None:
            raise NotRemakable(
                response_id,
                say(
                    "it was given by a version that kept too little of it. Answers that this "
                    "version gives can be",
                    "给出它的版本保留的信息不足。本版本给出的答案可以重新生成",
                ),
            )
        if not made.exact:
            raise NotRemakable(
                response_id,
                say(
                    "the items' states were still being loaded when it was given. Answers of a "
                    "moment later can be",
                    "作答时商品状态仍在加载。稍后给出的答案可以重新生成",
                ),
            )
        return exposure, made
    raise NotRemakable(
        response_id,
        say(
            "neither the log nor history knows it. Only lists of items are kept: no scores, churn "
            "or tags, and no answer as of a stated instant. Or its exposure still waits for the "
            "log (GET /healthz: exposures_waiting)",
            "日志和历史中都没有它。只保留商品列表：评分、流失、标签以及指定时间点的答案均不保留。"
            "或其曝光仍在等待写入日志（GET /healthz：exposures_waiting）",
        ),
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
    settings: Settings,
    client: redis.Redis,
    whole: history.Snapshot,
    as_of_us: int,
    progress: Progress,
) -> Iterator[tuple[Event, LogPosition | None]]:
    """Everything that may have been known: history to the answer's day, then the log behind it."""
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


def _policy(settings: Settings, client: redis.Redis, response_id: str, made: Made) -> Policy:
    kept = client.get(keys.kept(POLICY, made.policy))
    if kept is None:
        raise NotRemakable(
            response_id,
            say(
                f"its scene and rule files (version {made.policy}) are no longer kept. While "
                f"`nearline serve` runs with the same files in {settings.policy_folder}, they are",
                f"其场景与规则文件（版本 {made.policy}）已不再保留。将相同文件放入 "
                f"{settings.policy_folder} 并运行 nearline serve，即可再次保留",
            ),
        )
    return from_canonical(kept)  # type: ignore[arg-type]


def _popular(client: redis.Redis, response_id: str, made: Made) -> tuple[PopularItem, ...]:
    if not made.popular:
        return ()
    kept = client.get(keys.kept(POPULAR, made.popular))
    if kept is None:
        raise NotRemakable(
            response_id,
            say(
                f"the list of popular items that answered ({made.popular}) is no longer kept. "
                "Restore Redis from a backup of that time",
                f"当时作答的热门商品列表（{made.popular}）已不再保留。请用当时的备份恢复 Redis",
            ),
        )
    return popular_of(kept)  # type: ignore[arg-type]


def _bundle(settings: Settings, response_id: str, made: Made) -> Bundle | None:
    if not made.bundle:
        return None
    registry.give_up_soon()
    try:
        return load(
            registry.download(settings.mlflow_uri, made.bundle, settings.bundles), made.bundle
        )
    except StoreUnavailable as error:
        if error.cause != _DELETED:
            raise
    raise NotRemakable(
        response_id,
        say(
            f"its bundle {made.bundle} is no longer in the registry. Restore that version, or put "
            f"a copy of it into {settings.bundles / made.bundle}",
            f"其模型包 {made.bundle} 已不在模型库中。请恢复该版本，或将其副本放入 "
            f"{settings.bundles / made.bundle}",
        ),
    )


def _check_reach(
    settings: Settings,
    client: redis.Redis,
    response_id: str,
    made: Made,
    whole: history.Snapshot,
) -> None:
    """Raises where neither history nor the log behind it can hold all that the answer knew."""
    for limit in _limits(made):
        archived = whole.positions.get(limit.partition)
        last, removed = _log(client, limit.partition)
        begins, ends = archived is not None or not removed, max(archived or last, last)
        if begins and ends >= limit:
            continue
        raise NotRemakable(
            response_id,
            say(
                f"it had seen partition {limit.partition} up to {limit}, and the log and history "
                f"no longer hold all of that. Restore {settings.history} from a backup",
                f"它见过分区 {limit.partition} 直到 {limit} 的事件，而日志和历史已不再完整。"
                f"请从备份恢复 {settings.history}",
            ),
        )


def _check_whole(settings: Settings, client: redis.Redis, response_id: str, made: Made) -> None:
    """Raises where history lacks events of a partition up to where it goes by now.

    Positions have gaps of their own, so no name of a file tells of a lost one. But the log counts
    what it has ever taken: what it holds no more must lie in history, and so must what it holds
    up to there. Whether the answer knew what is missing cannot be told.
    """
    partitions = {limit.partition for limit in _limits(made)}
    removed = {partition: _log(client, partition)[1] for partition in partitions}
    whole = history.snapshot(settings.history)  # Later than that: what was removed is in it.
    for partition, rows in _archived(settings, whole, partitions).items():
        upto = whole.positions.get(partition, start_of(partition))
        pages = scan_partition(client, partition)
        held = sum(entry.position <= upto for page in pages for entry in page)
        if (lacks := removed[partition] + held - rows) > 0:
            raise NotRemakable(
                response_id,
                say(
                    f"history lacks {lacks} of {rows + lacks} events of partition {partition}. "
                    f"Restore {settings.history} from a backup",
                    f"历史中缺少分区 {partition} 的 {rows + lacks} 个事件中的 {lacks} 个。"
                    f"请从备份恢复 {settings.history}",
                ),
            )


def _archived(
    settings: Settings, whole: history.Snapshot, partitions: Collection[int]
) -> dict[int, int]:
    """How many events of some partitions history holds."""
    rows = dict.fromkeys(sorted(partitions), 0)
    for _, table in history.read_days(settings.history, whole, ["log_partition"]):
        for partition in rows:
            rows[partition] += pc.sum(pc.equal(table["log_partition"], partition)).as_py() or 0
    return rows


def _limits(made: Made) -> Iterator[LogPosition]:
    """Up to where the answer had seen partitions of the log."""
    return map(LogPosition.parse, filter(None, (made.customer_position, *made.item_positions)))


def _log(client: redis.Redis, partition: int) -> tuple[LogPosition, int]:
    """Where a partition's log ends, and how many events have been removed from it."""
    if not client.exists(keys.log(partition)):
        return start_of(partition), 0
    told: Any = client.xinfo_stream(keys.log(partition))
    last = LogPosition.of(partition, told["last-entry"][0]) if told["length"] else None
    return last or start_of(partition), told["entries-added"] - told["length"]


def _names() -> object:
    import pyarrow as pa

    return pa.array(_NAMES)
