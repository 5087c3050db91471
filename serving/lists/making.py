"""Makes a list: customers in pages from the store, scored here, the best of them kept.

Memory holds a page of customers and the list itself, however many customers there are.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

import redis
from redis.exceptions import RedisError

from nearline import keys, registry
from nearline.connecting import connected
from nearline.contracts.answer import ScoresQuery
from nearline.contracts.bundle import CHAMPION
from nearline.errors import PermanentError, StoreUnavailable
from nearline.say import Words
from nearline.settings import Settings
from nearline.transforms import customer
from nearline.transforms.customer import CustomerState
from serving.bundles import Bundle, Part, load
from serving.features import CustomerRows, replies_of
from serving.foretelling import foretell_each
from serving.lists.categories import unmet
from serving.lists.choosing import Best, Capped, sort_out
from serving.lists.model import TASKS, Channel, Entry, Left, Made, Wanted
from serving.lists.reach import Reach, Reachable, reach
from serving.policy.caps import longest_window_us, reached
from serving.policy.model import Policy
from serving.scores import Foretold

PAGE = 500
SPILL = "lists.tmp"  # DuckDB's own files, in the home folder; empty when it ends.

logger = logging.getLogger(__name__)

Progress = Callable[[int, int], object]  # customers done, of how many


class NoModel(PermanentError):
    """The bundle that serves cannot say what a list wants to know."""


def make(
    settings: Settings,
    bundle: Bundle,
    policy: Policy,
    wanted: Wanted,
    leave_out: frozenset[str],
    now_us: int,
    progress: Progress = lambda done, of: None,
) -> Made:
    """The list as of now. Raises StoreUnavailable, or NoModel with what to do."""
    wanted = fitting(wanted, bundle)
    client = connected(settings)
    try:
        with reach(
            settings.history, client, settings.partitions, now_us, settings.home / SPILL
        ) as known:
            caps = _Caps(client, policy, now_us)
            return _made(client, settings, bundle, wanted, leave_out, now_us, known, caps, progress)
    except (RedisError, OSError) as error:
        raise StoreUnavailable("Redis", settings.redis_shown, type(error).__name__) from error
    finally:
        client.close()


def champion(settings: Settings) -> Bundle:
    """The bundle that serves; only what scores is loaded."""
    registry.give_up_soon()
    version = registry.resolve(settings.mlflow_uri, CHAMPION)
    if version is None:
        raise NoModel(
            "no bundle carries the alias `champion`, and a list needs its scores: `nearline train` "
            "makes one, `nearline models` shows what there is."
        )
    return load(
        registry.download(settings.mlflow_uri, version, settings.bundles), version, (Part.SCORES,)
    )


def fitting(wanted: Wanted, bundle: Bundle) -> Wanted:
    """What is wanted, with its horizon; raises NoModel where the bundle has no such score."""
    task = TASKS[wanted.purpose]
    days = [model.horizon_days for model in bundle.scores.of(task)]
    if not days:
        raise NoModel(
            f"bundle {bundle.version} has no score of {task.value}: its history was too short when "
            "it was trained. Train again with `nearline train`, which says what it leaves out."
        )
    if wanted.horizon_days is not None and wanted.horizon_days not in days:
        known = ", ".join(map(str, days))
        raise NoModel(
            f"bundle {bundle.version} has no {task.value} within {wanted.horizon_days} days; "
            f"it knows {known}. Leave --within out for the shortest."
        )
    return replace(wanted, horizon_days=wanted.horizon_days or days[0])


def _made(
    client: redis.Redis,
    settings: Settings,
    bundle: Bundle,
    wanted: Wanted,
    leave_out: frozenset[str],
    now_us: int,
    known: Reach,
    caps: _Caps,
    progress: Progress,
) -> Made:
    met, faults = set[str](), list[str]()

    def told(
        people: Sequence[Reachable], reasons: bool
    ) -> tuple[list[tuple[Entry, Reachable]], Counter[Left]]:
        ids = [person.customer_id for person in people]
        states = _states(client, settings.partitions, ids)
        if wanted.categories:
            met.update(one.category for state in states for one in state.recent if one.category)
        query = _query(wanted, ids, reasons)
        found = foretell_each(bundle.scores, states, now_us, query, faults)
        del faults[1:]  # The first is told; a model that fails at all would fill memory.
        likely = [
            person.customer_id
            for person, one in zip(people, found, strict=True)
            if _may_be_likely(one, wanted)
        ]
        return sort_out(wanted, people, states, found, caps.of(likely, people))

    left, best, done = Counter[Left](), Best(wanted.most), 0
    for page in known.pages(PAGE):
        people = [person for person in page if person.customer_id not in leave_out]
        left[Left.EXCLUDED] += len(page) - len(people)
        entries, out = told(people, reasons=False)
        left += out
        for entry, person in entries:
            best.add(entry, person)
        done += len(page)
        progress(done, known.consenting)
    # Why takes several times as long to say as how likely: it is said of the listed alone, who
    # are read again, so that what the list says of each is of one moment.
    listed, chosen = list[Entry](), best.people()
    for start in range(0, len(chosen), PAGE):
        entries, out = told(chosen[start : start + PAGE], reasons=True)
        left += out
        listed += [entry for entry, _ in entries]
    if faults:
        logger.error("scores failed: %s", faults[0])
    left[Left.BEYOND_MOST] += best.beyond
    left[Left.NO_CONSENT] += known.known - done
    return Made(
        purpose=wanted.purpose,
        entries=tuple(sorted(listed, key=lambda entry: entry.rank_by, reverse=True)),
        left={reason: left[reason] for reason in Left if left[reason]},
        known=known.known,
        bundle=bundle.version,
        calibrated_at=bundle.manifest.created_at,
        calibrated_to=bundle.manifest.data_to,
        horizon_days=wanted.horizon_days or 0,
        as_of_us=now_us,
        min_probability=wanted.min_probability,
        min_value_cents=wanted.min_value_cents,
        notes=(
            *unmet(wanted.categories, met, bundle.scores.category_shares),
            *_notes(bundle, listed),
        ),
    )


def _query(wanted: Wanted, ids: Sequence[str], reasons: bool) -> ScoresQuery:
    return ScoresQuery(tuple(ids), (TASKS[wanted.purpose],), wanted.categories, reasons)


def _may_be_likely(told: Foretold, wanted: Wanted) -> bool:
    """Whether a cap could matter: counts are read of nobody else."""
    return any(score.probability >= wanted.min_probability for score in told.scores)


def _states(client: redis.Redis, partitions: int, ids: Sequence[str]) -> list[CustomerState]:
    asked = CustomerRows(ids, partitions)
    read = asked.read(replies_of(client, asked.rows))
    return [one.state if one else customer.EMPTY for one in read]


class _Caps:
    """Who has had enough by a channel; reads and never counts."""

    def __init__(self, client: redis.Redis, policy: Policy, now_us: int) -> None:
        self._client, self._now_us = client, now_us
        self._caps = {
            channel: policy.caps[channel] for channel in Channel if channel in policy.caps
        }

    def of(self, ids: Sequence[str], people: Sequence[Reachable]) -> Capped:
        """The counts of some customers, in one pipeline."""
        asked = self._client.pipeline(transaction=False)
        pairs = [(one, channel) for one in ids for channel in self._caps]
        for customer_id, channel in pairs:
            since = self._now_us - longest_window_us(self._caps[channel])
            asked.zrangebyscore(keys.cap(channel, customer_id), since, "+inf", withscores=True)
        full = {
            pair
            for pair, sent in zip(pairs, asked.execute() if pairs else [], strict=True)
            if reached(self._caps[pair[1]], [int(at_us) for _, at_us in sent], self._now_us)
        }
        return lambda customer_id, channel: (customer_id, channel) in full


def _notes(bundle: Bundle, listed: Sequence[Entry]) -> tuple[Words, ...]:
    notes: list[Words] = []
    if bundle.scores.lifetime is None or bundle.scores.lifetime.money is None:
        notes.append(
            Words(
                "The bundle knows no lifetime value, so the order is by probability alone.",
                "模型包不含终身价值，因此仅按概率排序。",
            )
        )
    elif unknown := sum(entry.value_cents is None for entry in listed):
        notes.append(
            Words(
                f"{unknown} of the listed have no value (never bought, or days of purchases are "
                "unknown until a backfill); they stand last, by probability.",
                f"名单中有 {unknown} 位没有价值（从未购买，或回填前购买日未知），按概率排在最后。",
            )
        )
    return tuple(notes)
