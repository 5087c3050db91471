from __future__ import annotations

import math

import numpy as np
import pytest

from nearline.transforms import customer
from nearline.transforms.content import ContentTable
from nearline.transforms.taste import (
    NO_ARRIVALS,
    Arrivals,
    Contents,
    naming_order,
    taste_of,
)

from .stories import DAY_US, NOON_US, did

TABLE = ContentTable(
    categories={"lamps": [1.0, 0.0], "rugs": [0.0, 1.0]},
    price_edges_cents=[1_000],
    prices=[[0.0, 0.0], [0.5, 0.5]],
)
CATEGORIES = ("lamps", "lamps", "rugs", "", "lamps")
PRICES = (500, 900, 500, 500, 2_000)
INDEX_OF = {"lamp": 0, "lantern": 1, "rug": 2, "thing": 3, "chandelier": 4}


def contents() -> Contents:
    return Contents.of(TABLE, CATEGORIES, PRICES, [1, 0, 2, 3, 4])


def taste(*events: str, at_us: int = NOON_US) -> np.ndarray | None:
    state = customer.fold(
        did("view_item", NOON_US + place, item) for place, item in enumerate(events)
    )
    return taste_of(state, INDEX_OF, contents(), NO_ARRIVALS, at_us)


def test_items_of_one_category_and_price_band_share_a_cell() -> None:
    held = contents()

    assert held.cell_I.tolist() == [0, 0, 1, -1, 2]
    assert held.members == ((1, 0), (2,), (4,))  # In the order given.
    assert held.unit(3) is None


def test_the_nearest_cells_come_first_and_none_lies_behind() -> None:
    lamps = taste("lamp")
    assert lamps is not None

    found = contents().nearest(lamps, 9)

    # A chandelier is (1.5, 0.5): its cosine with (1, 0) is 1.5 / sqrt(2.5). A rug's is 0.
    assert found[:2] == [(1, 1.0), (0, 1.0)]
    assert found[2] == (4, pytest.approx(1.5 / math.sqrt(2.5)))
    assert len(found) == 3
    assert contents().nearest(lamps, 1) == [(1, 1.0)]


def test_taste_weighs_kind_and_age() -> None:
    state = customer.fold(
        [did("add_to_cart", NOON_US, "lamp"), did("view_item", NOON_US + 7 * DAY_US, "rug")]
    )

    found = taste_of(state, INDEX_OF, contents(), NO_ARRIVALS, NOON_US + 7 * DAY_US)

    # A cart weighs 3, halved after a week; a view just now 1.
    assert found is not None
    assert found == pytest.approx(np.array([1.5, 1.0]) / math.hypot(1.5, 1.0))


def test_who_met_nothing_known_has_no_taste() -> None:
    assert taste() is None
    assert taste("thing", "gone") is None


def test_an_arrival_that_was_viewed_is_part_of_the_taste() -> None:
    unit = np.array([0.0, 1.0], np.float32)
    arrivals = Arrivals((5,), unit[None, :], {5: unit})
    state = customer.fold([did("view_item", NOON_US, "kilim")])

    found = taste_of(state, {**INDEX_OF, "kilim": 5}, contents(), arrivals, NOON_US)

    assert found is not None
    assert found.tolist() == [0.0, 1.0]


def test_arrivals_are_named_by_taste_and_ties_by_age() -> None:
    units = np.array([[0.0, 1.0], [1.0, 0.0], [1.0, 0.0], [0.0, 0.0]], np.float32)
    arrivals = Arrivals((9, 8, 7, 6), units, dict(zip((9, 8, 7, 6), units, strict=True)))

    found = arrivals.nearest(np.array([1.0, 0.0], np.float32), 3)

    assert found == [(8, 1.0), (7, 1.0), (9, 0.0)]
    assert arrivals.nearest(None, 2) == [(9, 0.0), (8, 0.0)]
    assert NO_ARRIVALS.nearest(None, 2) == []


def test_a_cell_names_popular_items_and_then_the_newest() -> None:
    assert naming_order([0, 1, 2, 3], [2, 9], [5, 7, 1, 7]) == [2, 1, 3, 0]


@pytest.mark.parametrize("at_most", [0, 1, 7, 40, 99])
def test_arrivals_are_named_as_if_all_were_sorted(at_most: int) -> None:
    dice = np.random.default_rng(at_most)
    units = dice.integers(-3, 4, (40, 2)).astype(np.float32)  # Few values: ties are many.
    arrivals = Arrivals(tuple(range(100, 140)), units, {})
    taste = np.array([1.0, 0.0], np.float32)
    cosines = units[:, 0].tolist()
    order = sorted(range(40), key=lambda place: (-cosines[place], place))[:at_most]

    assert arrivals.nearest(taste, at_most) == [(100 + place, cosines[place]) for place in order]
    assert arrivals.nearest_to_any(np.stack([taste, -taste]), at_most) == [
        (100 + place, abs(cosines[place]))
        for place in sorted(range(40), key=lambda place: (-abs(cosines[place]), place))[:at_most]
    ]
