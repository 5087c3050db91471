"""Whom of a page of customers a list may name, and who of all is best. Pure."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Sequence

from nearline.contracts.answer import Degradation, Score
from nearline.say import Words
from nearline.transforms.customer import CustomerState
from serving.lists.model import TASKS, Channel, Entry, Grounds, Left, Wanted, Way
from serving.lists.reach import Reachable
from serving.scores import Foretold

Capped = Callable[[str, Channel], bool]  # customer id and channel


class Best:
    """The best entries met so far: never more than are wanted, however many come."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._heap: list[tuple[tuple[float, float, str], Entry, Reachable]] = []
        self.beyond = 0

    def add(self, entry: Entry, person: Reachable) -> None:
        """Keep it if it is among the best; else it, or whom it pushes out, comes too late."""
        item = (entry.rank_by, entry, person)
        if len(self._heap) < self._most:
            heapq.heappush(self._heap, item)
            return
        self.beyond += 1
        if item[0] > self._heap[0][0]:
            heapq.heapreplace(self._heap, item)

    def people(self) -> list[Reachable]:
        """Whom they are about, best first."""
        return [person for *_, person in sorted(self._heap, key=lambda one: one[0], reverse=True)]


def entry_or_left(
    wanted: Wanted, person: Reachable, state: CustomerState, told: Foretold, capped: Capped
) -> Entry | Left:
    """A customer's entry, or the first reason why there is none."""
    if not state.first_seen_us:
        return Left.UNKNOWN
    score = _score(wanted, told)
    if score is None:
        if Degradation.ANSWER_FAILED in told.missing:
            return Left.UNSCORED
        outside = Degradation.OUTSIDE_COHORT in told.missing
        return Left.OUTSIDE_COHORT if outside else Left.NOT_ASKED
    if score.probability < wanted.min_probability:
        return Left.UNLIKELY
    value = told.value.value_cents if told.value else None
    if wanted.min_value_cents and (value or 0.0) < wanted.min_value_cents:
        return Left.LOW_VALUE
    ways = (Way(wanted.channel, Grounds.CHOSEN),) if wanted.channel else person.ways
    free = [way for way in ways if not capped(person.customer_id, way.channel)]
    if not free:
        return Left.CAPPED
    return Entry(
        customer_id=person.customer_id,
        probability=score.probability,
        horizon_days=score.horizon_days,
        category=score.category,
        value_cents=value,
        way=free[0],
        last_seen_us=state.last_seen_us,
        why=tuple(Words(reason.text_en, reason.text_zh) for reason in score.reasons),
    )


def sort_out(
    wanted: Wanted,
    people: Sequence[Reachable],
    states: Sequence[CustomerState],
    told: Sequence[Foretold],
    capped: Capped,
) -> tuple[list[tuple[Entry, Reachable]], Counter[Left]]:
    """The entries of a page, and how many are left out for which reason."""
    entries, left = list[tuple[Entry, Reachable]](), Counter[Left]()
    for person, state, one in zip(people, states, told, strict=True):
        found = entry_or_left(wanted, person, state, one, capped)
        if isinstance(found, Left):
            left[found] += 1
        else:
            entries.append((found, person))
    return entries, left


def _score(wanted: Wanted, told: Foretold) -> Score | None:
    """The score that a list goes by; of several categories the likeliest, which stands first."""
    task = TASKS[wanted.purpose]
    return next(
        (
            score
            for score in told.scores
            if score.task == task
            and wanted.horizon_days in (None, score.horizon_days)
            and (not wanted.categories or score.category in wanted.categories)
        ),
        None,
    )
