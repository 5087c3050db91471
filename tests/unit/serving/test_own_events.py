"""Waiting for one's own event: as long as the question and its deadline allow, and not too many."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from nearline.contracts.answer import RecommendQuery
from nearline.contracts.position import LogPosition, partition_of
from serving.own_events import AT_ONCE, OwnEvents

WANTED = LogPosition(partition_of("ann", 4), 7, 0)


class Rows:
    """A store whose row of ann gets its event after so many looks."""

    partitions = 4

    def __init__(self, looks: int) -> None:
        self.looks, self.left = 0, looks

    async def position(self, customer_id: str) -> LogPosition | None:
        self.looks += 1
        self.left -= 1
        return WANTED if self.left < 0 else None


def asked(max_wait_ms: int) -> RecommendQuery:
    return RecommendQuery("ann", min_position=str(WANTED), max_wait_ms=max_wait_ms)


async def timed(waiting: Any) -> tuple[LogPosition | None, float]:
    began_s = time.perf_counter()
    arrived = await waiting
    return arrived, (time.perf_counter() - began_s) * 1_000


def test_what_is_there_is_seen_at_the_first_look() -> None:
    rows = Rows(0)

    assert asyncio.run(OwnEvents(rows).arrived(asked(0))) == WANTED  # type: ignore[arg-type]
    assert rows.looks == 1


def test_looks_become_rarer() -> None:
    rows = Rows(10**9)

    arrived, _ = asyncio.run(timed(OwnEvents(rows).arrived(asked(300))))  # type: ignore[arg-type]

    assert arrived is None
    assert 1 < rows.looks < 20  # Every 5 ms it would be 60.


def test_an_event_that_comes_during_the_wait_ends_it() -> None:
    rows = Rows(3)

    assert asyncio.run(OwnEvents(rows).arrived(asked(2_000))) == WANTED  # type: ignore[arg-type]
    assert rows.looks == 4


def test_the_deadline_ends_the_wait_and_leaves_time_for_the_answer() -> None:
    rows = Rows(10**9)

    arrived, took_ms = asyncio.run(
        timed(OwnEvents(rows).arrived(asked(2_000), deadline_ms=100.0))  # type: ignore[arg-type]
    )

    assert not arrived
    assert took_ms >= 79  # And far from the 2 s that the question itself would wait.
    assert took_ms < 1_500


def test_where_enough_wait_another_looks_once() -> None:
    async def story() -> tuple[LogPosition | None, int]:
        rows = Rows(10**9)
        events = OwnEvents(rows)  # type: ignore[arg-type]
        waiting = [asyncio.create_task(events.arrived(asked(2_000))) for _ in range(AT_ONCE)]
        await asyncio.sleep(0)
        before = rows.looks
        arrived = await events.arrived(asked(2_000))
        looks = rows.looks - before
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        assert not await events.arrived(asked(0))  # Places are free again.
        return arrived, looks

    assert asyncio.run(story()) == (None, 1)


@pytest.mark.parametrize("field", ["exclude_item_ids", "item_ids"])
def test_ids_that_would_fill_the_log_are_refused(field: str) -> None:
    from serving.requests import MAX_ANCHORS, MAX_EXCLUDED, InvalidRequest, recommend_query

    number = MAX_EXCLUDED if field == "exclude_item_ids" else MAX_ANCHORS
    few = {field: [f"{place:036d}" for place in range(number)]}
    many = {"exclude_item_ids": [f"{place:0256d}" for place in range(MAX_EXCLUDED)]}

    recommend_query("ann", **few)  # type: ignore[arg-type]
    with pytest.raises(InvalidRequest, match="256,000 bytes together; at most 40,000"):
        recommend_query("ann", **many)  # type: ignore[arg-type]
