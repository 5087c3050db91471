"""What to put into each message: the running API is asked, no faster than it is told."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Protocol

from nearline.contracts.answer import Degradation, Recommendation
from nearline.errors import NearlineError
from nearline.say import Words
from serving.lists.model import Entry, Left, Made

_FAILURES_IN_A_ROW = 3  # Each was tried again for as long as a question may take.
_ASK_LIMIT_S = 10.0


class Asks(Protocol):
    """What of `nearline.client.Client` is used here."""

    def recommend(
        self, customer_id: str, scene: str, k: int, *, channel: str, timeout_s: float
    ) -> Recommendation: ...


def with_items(
    made: Made,
    asks: Asks,
    scene: str,
    k: int,
    per_second: float,
    progress: Callable[[int, int], object] = lambda done, of: None,
    clock_s: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
) -> Made:
    """The list with items for each, less those for whom there is nothing to say now.

    Asking counts as the message: a frequency cap of the channel counts it, and who reached one
    meanwhile is left out. What was answered is therefore kept: who got no answer is left out and
    stands in `unanswered`, and three in a row end the asking. Raises what the client raises
    where nobody got an answer.
    """
    entries: list[Entry] = []
    unanswered: list[Entry] = []
    left = Counter(made.left)
    failures, total = 0, len(made.entries)
    for done, entry in enumerate(_paced(made.entries, per_second, clock_s, sleep), start=1):
        channel = entry.way.channel.value
        try:
            answer = asks.recommend(
                entry.customer_id, scene, k, channel=channel, timeout_s=_ASK_LIMIT_S
            )
        except NearlineError as error:
            failure, failures = error, failures + 1
            unanswered.append(entry)
            if failures == _FAILURES_IN_A_ROW:
                unanswered += made.entries[done:]
                break
            continue
        failures = 0
        if answer.items:
            found = tuple(item.item_id for item in answer.items)
            entries.append(replace(entry, item_ids=found))
        else:
            left[_why_empty(answer)] += 1
        progress(done, total)
    notes = made.notes
    if unanswered:
        if len(unanswered) == total:
            raise failure
        left[Left.UNANSWERED] = len(unanswered)
        notes = (*notes, _cut_short(failure))
    return replace(
        made,
        entries=tuple(entries),
        left={reason: left[reason] for reason in Left if left[reason]},
        notes=notes,
        unanswered=tuple(unanswered),
    )


def _why_empty(answer: Recommendation) -> Left:
    if Degradation.CAP_UNKNOWN in answer.degraded:
        return Left.CAP_UNKNOWN
    # A list that a cap emptied lacks nothing, so it names nothing.
    return Left.NO_ITEMS if Degradation.NOTHING_TO_RECOMMEND in answer.degraded else Left.CAPPED


def _cut_short(failure: NearlineError) -> Words:
    return Words(
        f"Not everybody's items are known: {failure} What was answered is kept, since caps have "
        "counted it.",
        f"部分顾客的商品未知：{failure} 已应答的予以保留，因为频次上限已将其计入。",
    )


def _paced(
    entries: Sequence[Entry],
    per_second: float,
    clock_s: Callable[[], float],
    sleep: Callable[[float], object],
) -> Iterator[Entry]:
    due_s = clock_s()
    for entry in entries:
        wait_s = due_s - clock_s()
        if wait_s > 0:
            sleep(wait_s)
        due_s = max(due_s, clock_s() - 1.0) + 1.0 / per_second  # Catches up a second at most.
        yield entry


__all__ = ["Asks", "with_items"]
