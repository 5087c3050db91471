"""Items' states in memory: the rows of `transforms`, the sums of a plain fold."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nearline.contracts.event import ITEM_LISTED, Event
from nearline.contracts.position import LogPosition, start_of
from nearline.log import Entry
from nearline.online import ItemReading
from nearline.transforms import item
from nearline.transforms.buckets import DAY_US, HOUR_US, MINUTES
from nearline.transforms.item import ITEM_FEATURES
from nearline.transforms.ranking import item_rows
from serving.items import ARRIVAL_US, ItemTable
from tests.item_shop import ItemShop, items_of
from tests.unit.stream.made import MINUTE_US, NOON_US, event, shop_log

PARTITIONS = 3


def entry(ms: int, one: Event, partition: int = 0) -> Entry:
    return Entry(LogPosition(partition, ms, 0), one)


def listed(item_id: str, at_us: int, price_cents: int = 500, category: str = "lamps") -> Event:
    return event(
        f"listed/{item_id}/{at_us}",
        name=ITEM_LISTED,
        items=(item_id,),
        occurred_at_us=at_us,
        price_cents=price_cents,
        category=category,
    )


def table_of(events: Sequence[Event]) -> ItemTable:
    """A table that heard all of these, in one partition."""
    table = ItemTable(1)
    entries = [entry(1 + number, one) for number, one in enumerate(events)]
    table.apply(0, entries, entries[-1].position)
    return table


# What a ranker reads.


def test_a_row_says_what_happened_by_the_numbers() -> None:
    half_an_hour_ago = NOON_US - 30 * MINUTE_US
    table = table_of(
        [
            event("v1", items=("lamp",), occurred_at_us=NOON_US - 2 * DAY_US, price_cents=900),
            event("v2", items=("lamp",), occurred_at_us=half_an_hour_ago, price_cents=950),
            event("p", name="purchase", items=("lamp",), occurred_at_us=half_an_hour_ago),
        ]
    )

    ((*values,),) = table.rows(["lamp"], NOON_US).tolist()

    row = dict(zip(ITEM_FEATURES, values, strict=True))
    assert (row["views_1h"], row["views_24h"], row["views_7d"], row["views_total"]) == (1, 1, 2, 2)
    assert (row["purchases_1h"], row["purchases_7d"]) == (1, 1)
    assert row["conversion_7d"] == (1 + 0.02 * 50) / (2 + 50)
    assert (row["price_cents"], row["age_days"]) == (950, 2.0)


INSTANTS = st.one_of(
    st.integers(1, 50 * DAY_US).map(lambda before: NOON_US + 10 * DAY_US - before),
    st.integers(-3, 3).map(lambda us: NOON_US + 10 * HOUR_US + us),  # the edge of a minute
    st.sampled_from([1, MINUTE_US, NOON_US, NOON_US + 400 * DAY_US]),
)


@settings(max_examples=60)
@given(st.integers(0, 10**6), st.lists(INSTANTS, min_size=1, max_size=5), st.data())
def test_rows_are_those_of_the_transforms_bit_for_bit_at_any_instant_in_any_order(
    seed: int, instants: list[int], data: st.DataObject
) -> None:
    events = shop_log(seed, 60)
    half = len(events) // 2
    table = table_of(events[:half])
    names = [*items_of(events), "nobody-named-it"]
    for number, as_of_us in enumerate(instants):
        asked = data.draw(st.lists(st.sampled_from(names), max_size=8))  # some of them twice

        rows = table.rows(asked, as_of_us)

        states = [item.fold(name, events[: half if not number else None]) for name in asked]
        assert rows.tobytes() == item_rows(states, as_of_us).tobytes()
        if not number:  # What was finished before must not survive what happens.
            entries = [entry(10_000 + at, one) for at, one in enumerate(events[half:])]
            table.apply(0, entries, LogPosition(0, 20_000, 0))


def test_within_a_minute_only_the_age_moves_and_at_its_end_the_windows_do() -> None:
    minute = MINUTES.index_of(NOON_US) * MINUTE_US
    events = [event("v", items=("lamp",), occurred_at_us=minute - 59 * MINUTE_US)]
    table, views, age = table_of(events), *map(ITEM_FEATURES.index, ("views_1h", "age_days"))

    seen = [table.rows(["lamp"], at_us)[0] for at_us in (minute, minute + MINUTE_US - 1)]
    later = table.rows(["lamp"], minute + MINUTE_US)[0]

    assert [row[views] for row in seen] == [1, 1]
    assert seen[0][age] < seen[1][age] < later[age]
    assert later[views] == 0


def test_before_an_item_was_known_it_is_no_day_old_and_a_stranger_has_no_age() -> None:
    table = table_of([event("v", items=("lamp",))])

    rows = table.rows(["lamp", "unknown"], NOON_US - DAY_US)

    assert rows[0, ITEM_FEATURES.index("age_days")] == 0.0
    assert np.isnan(rows[1, ITEM_FEATURES.index("age_days")])


def test_an_empty_table_answers_for_everybody_as_for_an_unknown_item() -> None:
    expected = item_rows([item.EMPTY] * 2, NOON_US)

    assert ItemTable(PARTITIONS).rows(["a", "b"], NOON_US).tobytes() == expected.tobytes()
    assert ItemTable(PARTITIONS).rows([], NOON_US).shape == (0, len(ITEM_FEATURES))
    assert table_of([event("v")]).rows([], NOON_US).shape == (0, len(ITEM_FEATURES))


@pytest.mark.parametrize("names", [1_023, 1_024, 1_025, 5_000])
def test_it_grows_and_nothing_that_it_holds_is_lost(names: int) -> None:
    events = [
        event(f"v{n}", items=(f"i{n}",), price_cents=n + 1, occurred_at_us=NOON_US - n)
        for n in range(names)
    ]
    table = table_of(events[:1_000])
    ids = [f"i{n}" for n in range(names)]
    table.rows(ids[:1_000], NOON_US)  # finished before it grows

    for start in range(1_000, names, 200):
        part = [entry(2_000 + start + n, one) for n, one in enumerate(events[start:][:200])]
        table.apply(0, part, part[-1].position)

    assert len(table) == names
    rows = table.rows(ids, NOON_US)
    assert rows[:, ITEM_FEATURES.index("price_cents")].tolist() == list(range(1, names + 1))
    assert rows.tobytes() == item_rows(table.states(ids), NOON_US).tobytes()


# Rows of the store and what the log says meet.


def test_a_row_read_ahead_keeps_what_it_holds_from_being_added_again() -> None:
    first, second = event("v1", items=("lamp",)), event("v2", items=("lamp",))
    table = ItemTable(2)
    table.start([LogPosition(0, 5, 0), start_of(1)])
    table.load(
        {"lamp": ItemReading(item.fold("lamp", [first, second]), (LogPosition(0, 7, 0), None))}
    )
    assert not table.exact  # The row holds 6-0 and 7-0 already; the others are at 5-0.

    table.apply(0, [entry(6, first)], LogPosition(0, 6, 0))
    assert (table.state("lamp").views_total, table.exact) == (2, False)
    table.apply(0, [entry(7, second)], LogPosition(0, 7, 0))
    assert (table.state("lamp").views_total, table.exact) == (2, True)
    table.apply(0, [entry(8, event("v3", items=("lamp",)))], LogPosition(0, 8, 0))
    assert table.state("lamp").views_total == 3


def test_a_guard_of_one_partition_does_not_hold_up_another() -> None:
    table = ItemTable(2)
    table.load(
        {"lamp": ItemReading(item.fold("lamp", [event("v1")]), (LogPosition(0, 7, 0), None))}
    )

    table.apply(1, [entry(3, event("v2", customer_id="bob"), 1)], LogPosition(1, 3, 0))

    assert table.state("lamp").views_total == 2
    assert not table.exact


def test_a_row_that_is_read_again_takes_the_place_of_what_was_held() -> None:
    table = table_of([event("v1"), event("v2")])
    table.load({"lamp": ItemReading(item.fold("lamp", [event("v1")]), (LogPosition(0, 2, 0),))})

    assert table.state("lamp").views_total == 1
    assert len(table) == 1


def test_a_stretch_without_any_event_moves_the_position_alone() -> None:
    table = ItemTable(2)

    table.apply(1, (), LogPosition(1, 9, 4))

    assert table.positions == (start_of(0), LogPosition(1, 9, 4))
    assert (len(table), table.exact, table.changes) == (0, True, 0)


def test_unknown_are_the_items_that_count_and_are_not_held() -> None:
    table = table_of([event("v", items=("lamp",))])
    asked = [
        entry(2, event("a", items=("lamp", "rug", "rug"))),
        entry(3, event("b", items=("sofa",), consent=("analytics",))),  # counts nothing
        entry(4, event("c", name="exposure", items=("desk",))),  # nor does this
        entry(5, event("d", items=("bed", "rug"))),
    ]

    assert table.unknown(asked) == ["rug", "bed"]


@settings(max_examples=80)
@given(st.integers(0, 10**6), st.randoms(use_true_random=False))
def test_loads_and_events_in_any_interleaving_add_up_to_a_plain_fold(
    seed: int, chance: random.Random
) -> None:
    """Rows are read while a worker is in the middle of a page, items turn up at any moment."""
    shop, table = ItemShop(PARTITIONS), ItemTable(PARTITIONS)
    events = shop_log(seed, 80, customers=6, items=10)
    shop.append(events)
    names = items_of(events)
    for step in range(60):
        partition = chance.randrange(PARTITIONS)
        page = shop.waiting(partition)[: chance.randrange(1, 9)]
        match chance.choice(["commit", "advance", "load", "again", "apply", "apply"]):
            case "commit" if page:  # one row of a page, the others not yet
                touched = items_of(one.event for one in page)
                if touched:
                    shop.commit(partition, page, only=chance.choice(touched))
            case "advance" if page:
                shop.commit(partition, page)
                shop.advance(page[-1].position)
            case "load":
                missing = [one for one in names if one not in table]
                load(table, shop, chance.sample(missing, min(3, len(missing))))
            case "again":
                load(table, shop, chance.sample(names, min(2, len(names))))
            case "apply":
                apply(table, shop, partition, chance.randrange(1, 9))
        if step % 6 == 0:
            check(table, shop, names)
    shop.work()
    load(table, shop, [one for one in names if one not in table])
    for partition in range(PARTITIONS):
        apply(table, shop, partition, len(events))

    assert table.exact
    assert {one: table.state(one) for one in names} == {
        one: item.fold(one, events) for one in names
    }


def load(table: ItemTable, shop: ItemShop, item_ids: Sequence[str]) -> None:
    table.load(shop.readings(item_ids))


def apply(table: ItemTable, shop: ItemShop, partition: int, at_most: int) -> None:
    """What a follower does: never past what is applied, unknown items first."""
    upto = shop._applied[partition]
    entries = [
        one for one in shop.log[partition] if table.positions[partition] < one.position <= upto
    ][:at_most]
    if entries:
        load(table, shop, table.unknown(entries))
        table.apply(partition, entries, entries[-1].position)


def check(table: ItemTable, shop: ItemShop, names: Sequence[str]) -> None:
    """Every state is the fold up to the positions, or up to its guard where that is ahead."""
    ahead = False
    for name in names:
        slot = table._slot_of.get(name)
        if slot is None:
            continue
        guard = table._guards.get(slot, (None,) * PARTITIONS)
        upto = [max(at, held or at) for at, held in zip(table.positions, guard, strict=True)]
        ahead |= upto != list(table.positions)
        assert table.state(name) == shop.folded(name, upto)
    assert table.exact == (not ahead)


# New items.


def test_arrivals_stand_newest_first_and_ties_by_name_in_whatever_order_they_came() -> None:
    came = [("old", 1), ("b", 5), ("a", 5), ("new", 9)]
    for seed in range(10):
        table = ItemTable(2)
        for number, (name, at) in enumerate(random.Random(seed).sample(came, 4), 1):
            one = listed(name, NOON_US + at * HOUR_US)
            table.apply(number % 2, [entry(number, one, number % 2)], LogPosition(number % 2, 9, 9))

        assert table.arrivals == ("new", "b", "a", "old")


def test_an_item_loaded_from_the_store_is_an_arrival_only_by_the_stores_word() -> None:
    table = ItemTable(1)
    reading = ItemReading(item.fold("lamp", [event("v")]), (LogPosition(0, 1, 0),))

    table.load({"lamp": reading})
    assert table.arrivals == ()
    table.load({"lamp": reading}, {"lamp": NOON_US})
    assert table.arrivals == ("lamp",)


def test_what_came_a_month_before_the_newest_is_no_arrival_any_more() -> None:
    just = listed("just", NOON_US - ARRIVAL_US)
    table = table_of([listed("before", NOON_US - ARRIVAL_US - 1), just])
    assert table.arrivals == ("just", "before")

    table.apply(0, [entry(9, listed("new", NOON_US))], LogPosition(0, 9, 0))

    assert table.arrivals == ("new", "just")


def test_changes_grow_when_an_arrival_comes_or_its_price_or_category_changes() -> None:
    table = table_of([listed("lamp", NOON_US)])
    seen = [table.changes]
    later = [
        event("v", items=("lamp",), occurred_at_us=NOON_US + 1),  # says neither
        listed("lamp", NOON_US + 2, price_cents=400),
        listed("lamp", NOON_US + 3, price_cents=400, category="rugs"),
        listed("lamp", NOON_US + 1, price_cents=900, category="beds"),  # known late: older news
        listed("rug", NOON_US + 4),
    ]
    for number, one in enumerate(later, 10):
        table.apply(0, [entry(number, one)], LogPosition(0, number, 0))
        seen.append(table.changes)

    grew = [after > before for before, after in itertools.pairwise(seen)]
    assert grew == [False, True, True, False, True]


def test_the_price_of_an_item_that_is_no_arrival_changes_nothing_of_them() -> None:
    table = ItemTable(1)
    table.load(
        {"lamp": ItemReading(item.fold("lamp", [listed("lamp", NOON_US)]), (LogPosition(0, 1, 0),))}
    )
    before = table.changes

    table.apply(0, [entry(2, listed("lamp", NOON_US + 1, 900))], LogPosition(0, 2, 0))

    assert table.changes == before
    assert table.state("lamp").price_cents == 900
