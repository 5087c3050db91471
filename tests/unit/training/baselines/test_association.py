"""Association rules against counts by hand and against the known counts of Groceries."""

from __future__ import annotations

from itertools import combinations
from math import comb
from pathlib import Path

import numpy as np
import pytest

from nearline.contracts.event import Kind
from nearline.transforms.buckets import DAY_US
from tests.unit.training.baselines.test_simple import question
from tests.unit.training.test_label_points import history
from training.baselines.association import Rule, association, rules
from training.reproduce import groceries

BASKETS = [["tea", "milk"], ["tea", "milk"], ["tea"], ["tea", "milk"], ["tea"], ["bread"]]


def test_a_rule_counts_baskets_and_a_bound_met_exactly_counts() -> None:
    tea_then_milk = Rule(("tea",), "milk", 3, 5, 3, 6)
    milk_then_tea = Rule(("milk",), "tea", 3, 3, 5, 6)

    assert rules(BASKETS, "0.5", "0.6") == [milk_then_tea, tea_then_milk]  # 3/6 and 3/5, exactly
    assert rules(BASKETS, "0.5", "0.61") == [milk_then_tea]
    assert rules(BASKETS, "0.51", "0.1") == []
    assert tea_then_milk.lift == milk_then_tea.lift == pytest.approx((3 / 6) / (5 / 6 * 3 / 6))
    assert rules([], "0.1", "0.1") == []


def test_rules_equal_those_of_a_naive_count_on_random_baskets() -> None:
    draw = np.random.default_rng(4)
    baskets = [[str(item) for item in np.flatnonzero(draw.random(7) < 0.4)] for _ in range(80)]
    sets = [frozenset(basket) for basket in baskets]

    def count(items: frozenset[str]) -> int:
        return sum(items <= basket for basket in sets)

    naive = set()
    for size in range(2, 8):
        for items in map(frozenset, combinations("0123456", size)):
            for then in items:
                together, given = count(items), count(items - {then})
                if together * 20 >= 80 * 1 and given and together * 2 >= given:
                    naive.add((tuple(sorted(items - {then})), then, together, given))

    found = rules(baskets, "0.05", "0.5")

    assert {(one.given, one.then, one.together, one.given_count) for one in found} == naive
    assert len(naive) > 10


def test_a_rule_may_be_as_long_as_a_basket() -> None:
    found = rules([list("abcdefghi")] * 2, "1", "1")

    assert max(len(rule.given) for rule in found) == 8
    assert len(found) == sum(comb(9, size) * size for size in range(2, 10))


@pytest.mark.parametrize(("bounds", "known"), list(groceries.KNOWN.items())[:3])
def test_groceries_gives_the_known_number_of_rules(
    shared: Path, bounds: tuple[str, str], known: int
) -> None:
    assert len(rules(groceries.baskets(shared / "data"), *bounds)) == known


def test_groceries_has_410_rules_at_confidence_08_and_the_known_one_is_strongest(
    shared: Path,
) -> None:
    found = rules(groceries.baskets(shared / "data"), *groceries.TOP_OF)

    assert len(found) == 410  # as floats, 406: four have a confidence of exactly 0.8
    assert sum(rule.together * 5 == rule.given_count * 4 for rule in found) >= 4
    assert (found[0].given, found[0].then) == (("liquor", "red/blush wine"), "bottled beer")
    assert found[0].support == pytest.approx(0.001932, abs=5e-7)
    assert found[0].confidence == pytest.approx(0.9048, abs=5e-5)
    assert found[0].lift == pytest.approx(11.2353, abs=5e-5)


def test_what_was_put_in_the_cart_on_the_same_day_is_proposed() -> None:
    data = history(
        *((customer, item, Kind.CART, 1 + item) for customer in (0, 1) for item in (0, 1)),
        (2, 0, Kind.CART, 1),
        (2, 2, Kind.CART, 1 + DAY_US),  # another day, another basket
        (3, 0, Kind.VIEW, 1),
        (3, 2, Kind.VIEW, 2),  # looked at only
    )
    scorer = association(data, 3)

    assert scorer is not None
    assert scorer(question([0], 1, 9, []))[0].tolist() == pytest.approx([0.0, 2 / 3, 0.0])


def test_without_baskets_there_is_nothing_to_propose() -> None:
    assert association(history((0, 0, Kind.VIEW, 1), (0, 1, Kind.VIEW, 2)), 2) is None
