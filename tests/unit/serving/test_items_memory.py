"""Items that have parts of their states in common hold them once; what they say stays the same."""

from __future__ import annotations

from nearline.online import ItemReading
from nearline.transforms import item
from serving.items import ItemTable
from tests.unit.serving import tiny


def reading(rows: list[int]) -> ItemReading:
    """One look at one of the rows' items; each call makes objects of its own."""
    (state,) = item.states_of(tiny.event(1, "c", "view_item", rows)).values()
    return ItemReading(state, (None,) * 4)


def test_equal_parts_of_states_are_held_once() -> None:
    table = ItemTable(4)
    one, other = reading([0]), reading([tiny.CATEGORIES])
    assert one.state.quarter_day_buckets[0] is not other.state.quarter_day_buckets[0]

    table.load({"i0": one})
    table.load({"i6": other})

    held, beside = table.state("i0"), table.state("i6")
    assert held == one.state
    assert beside == other.state
    assert held.quarter_day_buckets[0] is beside.quarter_day_buckets[0]
    assert held.minute_buckets[0] is beside.minute_buckets[0]
    assert held.category is beside.category


def test_what_many_items_had_in_common_is_forgotten_before_it_grows(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr("serving.items._PARTS_AT_MOST", 10)
    table = ItemTable(4)
    for number in range(60):
        table.load({f"i{number}": reading([number])})

    assert len(table._parts) <= 10 + 6  # One row brings at most six parts.
    assert len(table) == 60
