"""The anchored sources against naive counts on random shops."""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass, replace

import numpy as np
import pytest

from nearline.transforms import anchors
from nearline.transforms.candidates import Catalogue, Proposal
from nearline.transforms.content import ContentTable
from nearline.transforms.covisits import BOUGHT, BROWSED, CARTED, PAIRS, CovisitTable, Neighbours
from nearline.transforms.customer import EMPTY, CustomerState, fold, last_order
from nearline.transforms.item_facts import UNKNOWN_FACTS, ItemFacts
from nearline.transforms.shelves import Shelves
from nearline.transforms.sources import Sources
from nearline.transforms.taste import Arrivals, Contents, naming_order, units_of

from .stories import DAY_US, NOON_US, did

ITEMS, NEIGHBOURS, CAME = 60, 6, 5
CATEGORIES = ("tea", "cups", "kettles", "")


@dataclass(frozen=True)
class Shop:
    """A random shop: rows from ITEMS on came after the bundle."""

    sources: Sources
    shelves: Shelves
    first_seen_us: list[int]
    popular: list[int]

    @property
    def categories(self) -> list[str]:
        held = self.sources.catalogue.categories
        return [held[row] for row in range(len(held))]


def shop(seed: int) -> Shop:
    chance = random.Random(seed)
    categories = [chance.choice(CATEGORIES) for _ in range(ITEMS + CAME)]
    prices = [chance.choice((0, 500, 2_000)) for _ in categories]
    known = Catalogue.of([f"i{row:02}" for row in range(ITEMS)], categories[:ITEMS])
    popular = chance.sample(range(ITEMS), 9)
    first_seen_us = [chance.randrange(5) for _ in range(ITEMS)]
    order = naming_order(range(ITEMS), popular, first_seen_us)
    vectors = {name: [chance.gauss(0, 1) for _ in range(4)] for name in CATEGORIES[:3]}
    table = ContentTable(vectors, [1_000], [[chance.gauss(0, 1) for _ in range(4)] for _ in "ab"])
    rows = range(ITEMS, ITEMS + CAME)
    units = units_of(table, categories[ITEMS:], prices[ITEMS:])
    sources = Sources(
        known=known,
        catalogue=known.followed_by([f"new{row}" for row in rows], categories[ITEMS:]),
        popular=popular,
        covisits=CovisitTable({pair: neighbours(chance) for pair in PAIRS}),
        contents=Contents.of(table, categories[:ITEMS], prices[:ITEMS], order),
        arrivals=Arrivals(tuple(rows), units, dict(zip(rows, units, strict=True))),
    )
    shelves = Shelves.of(categories[:ITEMS], order, popular).followed_by(rows, categories[ITEMS:])
    return Shop(sources, shelves, first_seen_us, popular)


def neighbours(chance: random.Random) -> Neighbours:
    """Weights are eighths, so that any order of adding gives the same sum, and ties are many."""
    items = np.full((ITEMS, NEIGHBOURS), -1, np.int32)
    weights = np.zeros((ITEMS, NEIGHBOURS), np.float32)
    for row in range(ITEMS):
        beside = chance.sample([other for other in range(ITEMS) if other != row], NEIGHBOURS)
        for place, other in enumerate(beside[: chance.randrange(NEIGHBOURS + 1)]):
            items[row, place], weights[row, place] = other, chance.randrange(1, 9) / 8
    return Neighbours(items, weights)


def summed(held: Shop, pair: str, anchor_rows: list[int]) -> list[int]:
    """Rows beside the anchors, heaviest first, ties to the smaller."""
    assert held.sources.covisits is not None
    table = held.sources.covisits.of_pair[pair]
    weights: dict[int, float] = defaultdict(float)
    for anchor in anchor_rows:
        if anchor < ITEMS:
            for row, weight in zip(table.items_IK[anchor], table.weights_IK[anchor], strict=True):
                if row >= 0:
                    weights[int(row)] += float(weight)
    return sorted(weights, key=lambda row: (-weights[row], row))


def rows_of(found: list[Proposal]) -> list[int]:
    """The rows, after what holds for every list: no item twice, scores that never rise."""
    rows, scores = [one.item_index for one in found], [one.score for one in found]
    assert len(set(rows)) == len(rows)
    assert scores == sorted(scores, reverse=True)
    return rows


def some_anchors(seed: int) -> list[int]:
    return random.Random(seed).sample(range(ITEMS + CAME), 1 + seed % 7)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("at_most", [0, 1, 5, 500])
def test_also_viewed_sums_what_was_browsed_beside_the_anchors(seed: int, at_most: int) -> None:
    held, rows = shop(seed), some_anchors(seed)
    expected = [row for row in summed(held, BROWSED, rows) if row not in rows]

    assert rows_of(anchors.also_viewed(held.sources, rows, at_most)) == expected[:at_most]


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("at_most", [0, 3, 500])
def test_bought_together_names_what_was_bought_and_then_what_was_carted(
    seed: int, at_most: int
) -> None:
    held, rows = shop(seed), some_anchors(seed)
    both = summed(held, BOUGHT, rows) + summed(held, CARTED, rows)
    expected = [row for row in dict.fromkeys(both) if row not in rows]

    assert rows_of(anchors.bought_together(held.sources, rows, at_most)) == expected[:at_most]


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("at_most", [0, 3, 500])
def test_complements_are_of_other_categories_before_the_rest(seed: int, at_most: int) -> None:
    held, rows = shop(seed), some_anchors(seed)
    theirs = {held.categories[row] for row in rows}
    both = summed(held, BOUGHT, rows) + summed(held, CARTED, rows)
    named = [row for row in dict.fromkeys(both) if row not in rows]
    other = [row for row in named if held.categories[row] not in theirs | {""}]
    expected = other + [row for row in named if row not in other]

    assert rows_of(anchors.complements(held.sources, EMPTY, rows, at_most)) == expected[:at_most]


def test_without_anchors_the_last_order_asks_for_its_complements() -> None:
    held = shop(3)
    state = fold(
        [
            did("purchase", NOON_US - DAY_US, "i01", "i02"),
            did("purchase", NOON_US, "i07", "i30", "gone"),
        ]
    )

    asked = anchors.complements(held.sources, state, [], 50)

    assert asked == anchors.complements(held.sources, EMPTY, [7, 30], 50) != []
    assert anchors.complements(held.sources, EMPTY, [], 50) == []


def test_without_tables_of_covisits_nothing_is_known_of_what_goes_together() -> None:
    bare = replace(shop(1).sources, covisits=None)

    assert anchors.also_viewed(bare, [1], 9) == anchors.bought_together(bare, [1], 9) == []
    assert anchors.complements(bare, EMPTY, [1], 9) == []


def alike(held: Shop, came: list[int]) -> list[tuple[int, float]]:
    """Each item's best cosine with some arrivals, by content: cell by cell, then the arrivals."""
    contents, unit_of = held.sources.contents, held.sources.arrivals.unit_of
    assert contents is not None
    units = {row: unit for row in range(ITEMS) if (unit := contents.unit(row)) is not None}
    units |= unit_of
    cosine = {
        row: round(max((float(unit @ unit_of[one]) for one in came), default=-1.0), 6)
        for row, unit in units.items()
    }
    named = naming_order(range(ITEMS), held.popular, held.first_seen_us)
    known = [row for row in named if row in cosine]
    known.sort(key=lambda row: (-cosine[row], int(contents.cell_I[row])))
    arrivals = sorted(unit_of, key=lambda row: (-cosine[row], row))
    return [(row, cosine[row]) for row in known + arrivals]


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("at_most", [0, 4, 500])
def test_similar_takes_the_best_cosine_of_any_anchor(seed: int, at_most: int) -> None:
    held, rows = shop(seed), some_anchors(seed)
    dice = np.random.default_rng(seed)
    learnt = [row for row in rows if row < ITEMS]
    # Eighths, so that ties are many; a missing neighbour is -1, one behind the anchor below 0.
    rows_AK = dice.integers(-1, ITEMS, (len(learnt), 12))
    cosines_AK = (dice.integers(-2, 9, rows_AK.shape) / 8).astype(np.float32)
    said = list(zip(rows_AK.ravel().tolist(), cosines_AK.ravel().tolist(), strict=True))
    said += alike(held, [row for row in rows if row >= ITEMS])
    best: dict[int, float] = {}
    for row, cosine in said:
        if row >= 0 and cosine > 0 and row not in rows:
            best[row] = max(best.get(row, cosine), cosine)
    first = [row for row, cosine in said if best.get(row) == cosine]
    expected = sorted(dict.fromkeys(first), key=lambda row: -best[row])[:at_most]

    found = anchors.similar(held.sources, rows_AK, cosines_AK, rows, at_most)

    assert rows_of(found) == expected
    assert [one.score for one in found] == pytest.approx([best[row] for row in expected], abs=1e-5)


def test_similar_to_an_arrival_is_what_is_like_it_by_content() -> None:
    held = shop(2)
    nothing = np.zeros((0, 8), np.int64), np.zeros((0, 8), np.float32)
    anchor = next(row for row in range(ITEMS, ITEMS + CAME) if held.categories[row])

    found = anchors.similar(held.sources, *nothing, [anchor], 3)

    assert len(rows_of(found)) == 3
    assert found[0].score == pytest.approx(1.0)
    assert {held.categories[one.item_index] for one in found if one.score > 0.9999} == {
        held.categories[anchor]
    }
    bare = replace(held.sources, contents=None)
    assert anchors.similar(bare, *nothing, [anchor], 3) == []


def facts(**days: int) -> dict[str, ItemFacts]:
    return {item_id: ItemFacts(repurchase_days=period) for item_id, period in days.items()}


def due(
    state: CustomerState, known: dict[str, ItemFacts], rows: tuple[int, ...] = (), at_most: int = 9
) -> list[tuple[str, float]]:
    held = shop(0).sources
    found = anchors.repurchase(
        held.catalogue.index_of,
        state,
        lambda item_id: known.get(item_id, UNKNOWN_FACTS),
        NOON_US,
        rows,
        at_most,
    )
    rows_of(found)
    return [(held.catalogue.item_ids[one.item_index], one.score) for one in found]


def test_what_is_most_overdue_for_its_period_is_bought_again_first() -> None:
    state = fold(
        [
            did("purchase", NOON_US - 30 * DAY_US, "i01", "i02", "i03", "i04", "elsewhere"),
            did("purchase", NOON_US - 20 * DAY_US, "i05", "new61"),
            did("purchase", NOON_US - 2 * DAY_US, "i06"),
        ]
    )
    known = facts(i01=10, i02=30, i03=31, i04=0, i05=10, i06=1, new61=10, elsewhere=1)

    assert due(state, known) == [
        ("i01", 3.0),
        ("i05", 2.0),
        ("i06", 2.0),
        ("new61", 2.0),
        ("i02", 1.0),
    ]
    assert due(state, known, at_most=1) == [("i01", 3.0)]
    assert due(state, known, rows=(1, 6)) == [("i05", 2.0), ("new61", 2.0), ("i02", 1.0)]


def test_a_purchase_again_starts_the_period_anew() -> None:
    again = [did("purchase", NOON_US - days * DAY_US, "i01") for days in (40, 5)]

    assert due(fold(again), facts(i01=10)) == []
    assert due(fold([did("purchase", NOON_US + DAY_US, "i01")]), facts(i01=1)) == []
    assert due(EMPTY, facts(i01=1)) == []


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("at_most", [0, 2, 7, 500])
def test_a_category_names_popular_items_then_arrivals_then_the_newest(
    seed: int, at_most: int
) -> None:
    held, rows = shop(seed), some_anchors(seed)
    for name in (*CATEGORIES, "nothing"):
        inside = [row for row in range(ITEMS + CAME) if name and held.categories[row] == name]
        liked = [row for row in held.popular if row in inside]
        came = [row for row in inside if row >= ITEMS]
        rest = [row for row in inside if row < ITEMS and row not in liked]
        rest.sort(key=lambda row: (-held.first_seen_us[row], row))
        expected = [row for row in liked + came + rest if row not in rows]

        assert rows_of(anchors.category(held.shelves, name, rows, at_most)) == expected[:at_most]


def test_items_that_may_not_be_named_lie_on_no_shelf() -> None:
    shelves = Shelves.of(["tea", "tea", "cups"], order=[1], popular=[1, 2])

    assert shelves.named("tea", 9) == [1]
    assert shelves.named("cups", 9) == []


def test_the_last_order_is_what_the_newest_purchase_brought() -> None:
    state = fold(
        [
            did("purchase", NOON_US, "tea", "cup"),
            did("purchase", NOON_US - 1, "kettle"),
            did("view_item", NOON_US + 1, "spoon"),
        ]
    )

    assert last_order(state) == ("cup", "tea")
    assert last_order(EMPTY) == ()
