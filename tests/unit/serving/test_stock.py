"""A bundle's items with those that came after it."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from msgspec.structs import replace as changed

from nearline.contracts.event import ITEM_LISTED, Event, Line
from nearline.contracts.position import LogPosition
from nearline.log import Entry
from nearline.transforms import customer
from nearline.transforms.candidates import Catalogue, Proposal
from nearline.transforms.chains import Column
from nearline.transforms.customer import CustomerState
from serving.arrivals import Arrived, Stock, Stocks
from serving.bundles import load
from serving.finder import Finder
from serving.finding import Asked, _dropped, find
from serving.items import ItemTable
from serving.policy.load import shipped

CATEGORIES = ["", "c1", "c3", "nobody knows it"]
NEW_AND_KNOWN = [*(f"n{n}" for n in range(40)), "i3", "i7"]


@pytest.fixture
def finder(bundle_folder: Path) -> Finder:
    finder = load(bundle_folder, "1").finder
    assert finder is not None
    return finder


def listed(name: str) -> Event:
    return Event(
        event_id=name,
        type="track",
        name=ITEM_LISTED,
        customer_id="shop",
        occurred_at_us=1,
        known_at_us=1,
        source="test",
        lines=(Line(name, 1, 5, "c1"),),
    )


def test_a_stock_is_made_once_for_what_it_is_made_of(finder: Finder) -> None:
    stocks, table = Stocks(), ItemTable(1)
    table.apply(0, [Entry(LogPosition(0, 1, 0), listed("new"))], LogPosition(0, 1, 0))

    first = stocks.of("1", finder, table)

    assert stocks.of("1", finder, table) is first
    assert stocks.of("1", finder, None) is not first
    table.apply(0, [Entry(LogPosition(0, 2, 0), listed("newer"))], LogPosition(0, 2, 0))
    assert stocks.of("1", finder, table) is not first
    assert first.sources.catalogue.item_ids[first.sources.catalogue.index_of["new"]] == "new"
    assert "new" not in finder.catalogue.index_of  # The bundle itself never changes.


def test_arrivals_without_a_content_table_are_named_newest_first(finder: Finder) -> None:
    plain = replace(finder, sources=replace(finder.sources, contents=None))

    stock = Stock.of(plain, [Arrived("young", "c1", 5), Arrived("old", "c1", 5)])

    assert [row for row, _ in stock.sources.arrivals.nearest(None, 9)] == [60, 61]
    assert stock.units([60, 3]).shape == (2, 8)


def test_a_stock_answers_as_a_rebuilt_catalogue_would(tiny: ModuleType, finder: Finder) -> None:
    generator, shown = random.Random(4), 0
    for number in range(60):
        came = [
            Arrived(name, generator.choice(CATEGORIES), generator.choice([0, 900, 2_000]))
            for name in generator.sample(NEW_AND_KNOWN, number % 21)
        ]
        stock = Stock.of(finder, came)
        copied = rebuilt(stock, came)
        met = [*(one.item_id for one in came), "i1", "i3", "i8", "gone"]
        state = customer.fold(
            changed(
                tiny.event(n, "ann", generator.choice(["view_item", "purchase"]), [0], 300 - n),
                lines=(Line(generator.choice(met), 1, None, None),),
            )
            for n in range(12)
        )
        excluded = tuple(generator.sample(met, 3))
        asked = Asked(
            shipped().scenes["home"],
            10,
            tiny.NOW_US,
            withheld=withheld_of(state),
            excluded=excluded,
        )

        answer = find(stock, ItemTable(1), state, asked)

        assert not answer.failed
        assert answer == find(copied, ItemTable(1), state, asked)
        shown += sum("arrivals" in option.candidate.ranks for option in answer.options)
    assert shown > 100  # Else the comparison said less than it seems to.


def withheld_of(state: CustomerState) -> frozenset[str]:
    return frozenset(item_id for item_id, _ in state.purchased)


def rebuilt(stock: Stock, came: Sequence[Arrived]) -> Stock:
    """The stock as it would be, had its catalogue been copied."""
    finder, known = stock.finder, stock.finder.catalogue
    new = [one for one in came if one.item_id not in known.index_of]
    rows = range(len(known.item_ids))
    catalogue = Catalogue.of(
        [known.item_ids[row] for row in rows] + [one.item_id for one in new],
        [known.categories[row] for row in rows] + [one.category for one in new],
    )
    prices = [finder.prices_cents[row] for row in rows] + [one.price_cents for one in new]
    return Stock(finder, replace(stock.sources, catalogue=catalogue), prices, stock.shelves)


def test_only_what_a_source_proposed_counts_as_withheld(tiny: ModuleType, finder: Finder) -> None:
    stock = Stock.of(finder, [Arrived("new", "c1", 5), Arrived("other", "c1", 5)])
    bought = customer.fold([tiny.event(1, "ann", "purchase", [1, 9])])
    proposals = {"popular": [Proposal(1, 1.0), Proposal(2, 0.5)], "arrivals": [Proposal(60, 0.0)]}

    excluded = ("i1", "i2", "i8", "new", "other", "gone")
    dropped = _dropped(proposals, stock, withheld_of(bought), excluded)

    assert dropped == {"never_purchased": 1, "excluded": 2}  # i1; i2 and new, whose row is 60


def test_a_stock_is_made_without_reading_the_bundles_catalogue(finder: Finder) -> None:
    """Requests wait while it is made: it may cost what came, not what the bundle holds."""
    known = finder.catalogue
    ids, categories, prices = map(Watched, (known.item_ids, known.categories, finder.prices_cents))
    index_of = WatchedMapping(known.index_of)
    watched = replace(finder, catalogue=Catalogue(ids, categories, index_of), prices_cents=prices)

    stock = Stock.of(watched, [Arrived(f"n{n}", "c1", 5) for n in range(3)])

    assert ids.reads + categories.reads + prices.reads == 0
    assert index_of.reads <= 3
    assert stock.sources.catalogue.item_ids[61] == "n1"


class Watched(Column[Any]):
    """A column that counts how often it is read."""

    def __init__(self, column: Column[Any]) -> None:
        self.column, self.reads = column, 0

    def __len__(self) -> int:
        return len(self.column)

    def __getitem__(self, row: int, /) -> Any:
        self.reads += 1
        return self.column[row]


class WatchedMapping(Mapping[str, int]):
    """A mapping that counts how often it is read."""

    def __init__(self, mapping: Mapping[str, int]) -> None:
        self.mapping, self.reads = mapping, 0

    def __len__(self) -> int:
        return len(self.mapping)

    def __iter__(self) -> Iterator[str]:
        for key in self.mapping:
            self.reads += 1
            yield key

    def __getitem__(self, key: str) -> int:
        self.reads += 1
        return self.mapping[key]
