"""Co-visitation tables: against a recount pair by pair, and as a customer's history speaks."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest

from nearline.contracts.event import Kind
from nearline.transforms import customer
from nearline.transforms.buckets import DAY_US, MINUTE_US
from nearline.transforms.covisits import BOUGHT, BROWSED, CARTED, CovisitTable, Neighbours
from nearline.transforms.customer import SESSION_GAP_US
from tests.unit.training.histories import START_US, met
from tests.unit.training.test_label_points import history
from training import covisits
from training.config import CovisitConfig
from training.datasets import Interactions

CONFIG = CovisitConfig(neighbours=4, places=3, half_life_days=10.0)


def walk(seed: int, customers: int = 12, items: int = 15, steps: int = 40) -> Interactions:
    draw = np.random.default_rng(seed)
    rows = []
    for who in range(customers):
        at_us = START_US
        for _ in range(steps):
            at_us += int(draw.choice([MINUTE_US, 20 * MINUTE_US, DAY_US]))
            rows.append((who, int(draw.integers(items)), Kind(int(draw.integers(1, 5))), at_us))
    return history(*rows)


def recounted(
    past: Interactions, until_us: int, kinds: tuple[Kind, ...], within_us: int
) -> dict[tuple[int, int], float]:
    """The weight of every pair, by the definition."""
    weights: dict[tuple[int, int], float] = defaultdict(float)
    for _, start, end in past.ranges():
        kept = [n for n in range(start, end) if past.kind[n] in kinds]
        for place, one in enumerate(kept):
            for gap, other in enumerate(kept[place + 1 : place + 1 + CONFIG.places], start=1):
                apart_us = past.occurred_at_us[other] - past.occurred_at_us[one]
                left, right = int(past.item[one]), int(past.item[other])
                if left == right or apart_us > within_us:
                    continue
                age_days = (until_us - past.occurred_at_us[other]) / DAY_US
                weight = 0.5 ** (age_days / CONFIG.half_life_days) / gap
                weights[left, right] += weight
                weights[right, left] += weight
    return weights


@pytest.mark.parametrize("at_once", [20_000_000, 50])  # the second parts the items into blocks
def test_the_tables_hold_the_heaviest_pairs_of_a_recount(
    monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(covisits, "PAIRS_AT_ONCE", at_once)
    data, items = walk(1), 15
    until_us = START_US + 12 * DAY_US

    tables = covisits.build(data, items, until_us, CONFIG).of_pair

    carts = (Kind.CART, Kind.PURCHASE)
    for pair, kinds, within_us in (
        (BROWSED, tuple(Kind), SESSION_GAP_US),
        (CARTED, carts, 14 * DAY_US),
        (BOUGHT, (Kind.PURCHASE,), 60 * DAY_US),
    ):
        weights = recounted(data.until(until_us), until_us, kinds, within_us)
        assert weights
        for item in range(items):
            best = sorted((w for (left, _), w in weights.items() if left == item), reverse=True)
            found = tables[pair].items_IK[item]
            held = tables[pair].weights_IK[item]
            assert held[found >= 0] == pytest.approx(best[: CONFIG.neighbours], rel=1e-4)
            for other, weight in zip(found[found >= 0], held, strict=False):
                assert weights[item, int(other)] == pytest.approx(weight, rel=1e-4)
            assert (held[found < 0] == 0).all()


def test_what_happens_after_the_instant_changes_nothing() -> None:
    data = walk(2)
    until_us = START_US + 8 * DAY_US

    whole = covisits.build(data, 15, until_us, CONFIG).arrays()
    known = covisits.build(data.until(until_us), 15, until_us, CONFIG).arrays()

    assert len(data.until(until_us)) < len(data)
    for name in whole:
        np.testing.assert_array_equal(whole[name], known[name])


def test_no_history_makes_empty_tables() -> None:
    nothing = walk(3).until(START_US - 1)

    table = covisits.build(nothing, 15, START_US, CONFIG)

    assert all((one.items_IK == -1).all() for one in table.of_pair.values())
    state = customer.fold([met("ann", "a", START_US)])
    assert list(table.companions(state, {"a": 0}, START_US, 5)) == []


def table_of(**of_pair: dict[int, list[tuple[int, float]]]) -> CovisitTable:
    """Four items, two companions each at most."""
    tables = {}
    for pair in (BROWSED, CARTED, BOUGHT):
        found, weights = np.full((4, 2), -1, np.int32), np.zeros((4, 2), np.float32)
        for row, companions in of_pair.get(pair, {}).items():
            for place, (other, weight) in enumerate(companions):
                found[row, place], weights[row, place] = other, weight
        tables[pair] = Neighbours(found, weights)
    return CovisitTable(tables)


INDEX_OF = {"a": 0, "b": 1, "c": 2, "d": 3}


def test_an_interaction_speaks_through_the_tables_of_its_kind() -> None:
    table = table_of(browsed={0: [(1, 1.0)]}, carted={0: [(2, 1.0)]}, bought={0: [(3, 1.0)]})

    def spoken(name: str) -> dict[int, float]:
        state = customer.fold([met("ann", "a", START_US, name=name)])
        return dict(table.companions(state, INDEX_OF, START_US, 9))

    assert spoken("view_item") == {1: 1.0}
    assert spoken("add_to_cart") == {1: 3.0, 2: 3.0}
    assert spoken("purchase") == {2: 5.0, 3: 5.0}


def test_newer_interactions_speak_louder_and_unknown_items_are_passed_over() -> None:
    table = table_of(browsed={0: [(3, 1.0)], 1: [(2, 1.0), (3, 0.5)]})
    now_us = START_US + 2 * DAY_US
    state = customer.fold(
        [met("ann", "a", START_US), met("ann", "b", now_us - 1), met("ann", "new", now_us)]
    )

    found = dict(table.companions(state, INDEX_OF, now_us, 9))

    # b speaks first (1, not faded by `new`); a is one place behind and two days old: 0.9 / 2.
    assert found == {2: pytest.approx(1.0), 3: pytest.approx(0.5 + 0.45)}
    assert [row for row, _ in table.companions(state, INDEX_OF, now_us, 1)] == [2]


def test_tables_come_back_from_their_arrays() -> None:
    table = covisits.build(walk(4), 15, START_US + 9 * DAY_US, replace(CONFIG, neighbours=3))

    again = CovisitTable.from_arrays(table.arrays(), 15)

    for name, array in again.arrays().items():
        np.testing.assert_array_equal(array, table.arrays()[name])
