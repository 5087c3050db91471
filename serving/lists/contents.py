"""What to put into each message: the running API is asked, no faster than it is told."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Protocol

from nearline.contracts.answer import Recommendation
from serving.lists.model import Entry, Left, Made


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
    meanwhile is left out. Raises what the client raises; Unavailable where nobody answers.
    """
    entries: list[Entry] = []
    total = len(made.entries)
    for done, entry in enumerate(_paced(made.entries, per_second, clock_s, sleep), start=1):
        channel = entry.way.channel.value
        answer = asks.recommend(entry.customer_id, scene, k, channel=channel, timeout_s=10.0)
        if answer.items:
            found = tuple(item.item_id for item in answer.items)
            entries.append(replace(entry, item_ids=found))
        progress(done, total)
    left = dict(made.left)
    if nothing := total - len(entries):
        left[Left.NO_ITEMS] = nothing
    return replace(made, entries=tuple(entries), left=left)


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
