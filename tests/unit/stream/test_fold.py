from __future__ import annotations

import random
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from ingestion.backfill.core import Replay
from ingestion.worker.fold import CUSTOMERS, ITEMS, Changes, Entity, changes_of, fold, rounds_of
from nearline.contracts.event import Event, Purpose
from nearline.contracts.position import LogPosition
from nearline.log import Entry
from nearline.online import Held
from nearline.transforms.columns import Columns, customer_columns, item_columns
from tests.unit.stream import naive
from tests.unit.stream.made import HOUR_US, MINUTE_US, NOON_US, entries_of, event, shop_log

NOTHING = Held({}, 0, None, 0)


class Shelf:
    """The store's rules in memory: rows, and one sequence for each entity and partition."""

    def __init__(self) -> None:
        self.rows: dict[Entity, tuple[Columns, int]] = {}
        self.sequences: dict[tuple[Entity, int], LogPosition] = {}

    def apply(self, partition: int, changes: Changes) -> None:
        for entity, theirs in changes.items():
            row, known_at_us = self.rows.get(entity, ({}, 0))
            sequence = self.sequences.get((entity, partition))
            new = fold(entity[0], Held(row, known_at_us, sequence, 0), theirs)
            if new is not None:
                self.rows[entity] = (new.columns, new.known_at_us)
                self.sequences[entity, partition] = new.upto

    def of(self, view: object) -> dict[str, tuple[Columns, int]]:
        return {entity_id: row for (which, entity_id), row in self.rows.items() if which is view}


def entry(number: int, one: Event) -> Entry:
    return Entry(LogPosition(0, 1_000, number), one)


def streamed(log: Sequence[Event], seed: int) -> Shelf:
    """The log through pages of random length, some delivered again, partitions in turn."""
    chance = random.Random(seed)
    shelf = Shelf()
    waiting = entries_of(log, partitions=3)
    places = dict.fromkeys(waiting, 0)
    while any(places[p] < len(waiting[p]) for p in waiting):
        partition = chance.randrange(3)
        page = waiting[partition][places[partition] : places[partition] + chance.randrange(1, 60)]
        shelf.apply(partition, changes_of(page))
        if chance.random() < 0.7:  # Otherwise it crashed before the position moved.
            places[partition] += len(page)
    return shelf


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32), count=st.integers(0, 300))
def test_the_stream_equals_the_backfill_equals_a_naive_recount(seed: int, count: int) -> None:
    log = shop_log(seed, count)
    shelf = streamed(log, seed)
    replay = Replay()
    for one in log:
        replay.add(one, None)
    backfilled = {
        name: (customer_columns(folded.state), folded.known_at_us)
        for name, folded in replay.customers.items()
    }
    backfilled_items = {
        name: (item_columns(folded.state), folded.known_at_us)
        for name, folded in replay.items.items()
    }

    assert shelf.of(CUSTOMERS) == backfilled == naive.customers(log)
    assert shelf.of(ITEMS) == backfilled_items == naive.items(log)


@settings(max_examples=15)
@given(seed=st.integers(0, 2**32))
def test_late_and_shuffled_events_end_in_the_state_of_the_sorted_log(seed: int) -> None:
    log = shop_log(seed, 200, customers=3)
    shuffled = random.Random(seed).sample(log, len(log))
    by_time = sorted(log, key=lambda one: one.occurred_at_us)

    assert streamed(shuffled, seed).rows == streamed(by_time, seed + 1).rows


def test_a_page_delivered_again_changes_nothing() -> None:
    changes = changes_of([entry(1, event("a")), entry(2, event("b", items=("rug",)))])
    shelf = Shelf()
    shelf.apply(0, changes)
    before = dict(shelf.rows)

    shelf.apply(0, changes)

    assert shelf.rows == before
    assert shelf.of(CUSTOMERS)["ada"][0]["views_total"] == 2


def test_of_a_page_that_overlaps_only_the_new_part_counts() -> None:
    first, second, third = (entry(n, event(str(n))) for n in (1, 2, 3))
    shelf = Shelf()
    shelf.apply(0, changes_of([first, second]))

    shelf.apply(0, changes_of([second, third]))

    assert shelf.of(CUSTOMERS)["ada"][0]["views_total"] == 3


def test_the_row_is_dated_by_the_newest_known_event_and_never_goes_back() -> None:
    late = event("late", occurred_at_us=NOON_US, known_at_us=NOON_US + HOUR_US)
    older = event("older", occurred_at_us=NOON_US, known_at_us=NOON_US + MINUTE_US)
    row = fold(CUSTOMERS, NOTHING, changes_of([entry(1, late)])[CUSTOMERS, "ada"])
    assert row is not None
    held = Held(row.columns, row.known_at_us, row.upto, 1)

    again = fold(CUSTOMERS, held, changes_of([entry(2, older)])[CUSTOMERS, "ada"])

    assert again is not None
    assert again.known_at_us == NOON_US + HOUR_US


def test_events_that_change_no_feature_need_no_row() -> None:
    page = [
        entry(1, event("1", type_="identify", name="identify", items=())),
        entry(2, event("2", name="exposure")),
        entry(3, event("3", consent=(Purpose.ANALYTICS,))),
        entry(4, event("4", items=())),
    ]

    assert changes_of(page) == {}


def test_a_listing_makes_an_item_row_and_no_customer_row() -> None:
    listed = event("1", name="item_listed", items=("rug",), price_cents=900, category="home")

    (entity,) = changes_of([entry(1, listed)])

    assert entity == (ITEMS, "rug")


def test_no_row_stands_twice_in_a_round_and_none_is_left_out() -> None:
    pages = {
        0: changes_of([entry(1, event("a", items=("rug", "lamp")))]),
        1: changes_of([entry(2, event("b", customer_id="bob", items=("lamp", "chair")))]),
        2: changes_of([entry(3, event("c", customer_id="cleo", items=("lamp",)))]),
    }

    rounds = rounds_of(pages)

    assert [len(parts) for parts in rounds] == [6, 1, 1]
    for parts in rounds:
        assert len({part.key for part in parts}) == len(parts)
    assert [
        (part.partition, part.changes)
        for parts in rounds
        for part in parts
        if part.entity_id == "lamp"
    ] == [(number, pages[number][ITEMS, "lamp"]) for number in (0, 1, 2)]
    assert sum(map(len, pages.values())) == sum(map(len, rounds))
    assert rounds_of({}) == rounds_of({0: {}}) == []
