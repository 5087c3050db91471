"""Logged propensities are true: by integrating over chance, and by counting answers."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from math import prod

import pytest

from nearline.transforms.item_facts import UNKNOWN_FACTS, ItemFacts
from serving.policy.choose import choose
from serving.policy.explore import draws_of, explored
from serving.policy.model import Campaign, Exploration, Pin, RuleSettings, SceneRules
from serving.policy.shares import Tally
from serving.policy.situation import Situation


@dataclass(frozen=True)
class Thing:
    item_id: str
    category: str
    facts: ItemFacts = UNKNOWN_FACTS


def things(*categories: str) -> list[Thing]:
    return [Thing(f"i{place}", category) for place, category in enumerate(categories)]


def test_propensities_multiply_to_how_often_a_list_comes() -> None:
    # Chance is cut into 12 x 12 equal cells for each of two places: every outcome's share of
    # the cells is its probability, exactly, since 12 cells hold 1/4 and pools of up to 4.
    ranked = things(*"abccccdab")
    settings = RuleSettings()
    share = 0.25
    cells = [(cell + 0.5) / 12 for cell in range(12)]
    came: Counter[tuple[int, ...]] = Counter()
    stated: dict[tuple[int, ...], float] = {}
    for numbers in itertools.product(cells, repeat=4):
        tally = Tally(ranked, {"i8"}, settings, 3)
        for place in (0, 1, 2):
            tally.add(place)
        drawn = dict(zip((2, 3, 4, 5), numbers, strict=True))
        shown, propensities = explored(
            [0, 1, 2],
            [3, 4, 6, 7, 8],
            [1, 2],
            Exploration(2, share, 4),
            tally,
            drawn.__getitem__,
        )
        came[tuple(shown)] += 1
        assert stated.setdefault(tuple(shown), prod(propensities)) == prod(propensities)

    assert sum(stated.values()) == pytest.approx(1.0)
    for outcome, count in came.items():
        assert count / 12**4 == pytest.approx(stated[outcome])
    # One c is in the list: at place 2 (b's) no second c may come, d may; a is there already.
    assert {outcome[1] for outcome in came} == {1, 6}


def test_over_many_seeds_each_item_comes_as_often_as_its_propensity_says() -> None:
    ranked = things(*"abcdefgh")
    rules = SceneRules(explore=Exploration(places=1, share=0.3, pool=3))
    came: Counter[int] = Counter()
    stated: dict[int, float] = {}
    answers = 6_000
    for number in range(answers):
        chosen = choose(ranked, Situation(k=3, seed=number.to_bytes(4, "big")), rules)
        came[chosen.places[2]] += 1
        stated[chosen.places[2]] = chosen.propensities[2]
        assert chosen.propensities[:2] == (1.0, 1.0)

    assert stated == {2: 0.7, 3: 0.3 / 3, 4: 0.3 / 3, 5: 0.3 / 3}
    for place, propensity in stated.items():
        # Five standard deviations of a share of 6,000.
        bound = 5 * (propensity * (1 - propensity) / answers) ** 0.5
        assert abs(came[place] / answers - propensity) < bound


def test_what_was_explored_is_said() -> None:
    rules = SceneRules(explore=Exploration(places=1, share=1.0, pool=1))

    chosen = choose(things(*"abcd"), Situation(k=3, seed=b"any"), rules)

    assert chosen.places == (0, 1, 3)
    assert chosen.propensities == (1.0, 1.0, 1.0)  # one item in the pool, always explored
    (effect,) = chosen.effects
    assert (effect.rule, effect.affected, effect.item_ids) == ("exploration", 1, ("i3",))
    assert [(one.rule, one.from_rank, one.to_rank) for one in chosen.moves[2]] == [
        ("exploration", 4, 3)
    ]


def test_where_nothing_else_may_stand_the_own_item_is_certain() -> None:
    rules = SceneRules(explore=Exploration(places=2, share=0.9, pool=5))

    assert choose(things("a", "b"), Situation(k=2, seed=b"any"), rules).propensities == (1.0, 1.0)


def test_a_pin_is_not_explored_away() -> None:
    day = datetime(1970, 1, 1, tzinfo=UTC), datetime(1970, 1, 2, tzinfo=UTC)
    campaign = Campaign("any", *day, pins=(Pin("i5", 3),))
    rules = SceneRules(explore=Exploration(places=1, share=1.0, pool=1), campaigns=(campaign,))

    chosen = choose(things(*"abcdef"), Situation(k=3, seed=b"any"), rules)

    # The last place is pinned, so the one before it explores.
    assert chosen.places == (0, 2, 5)


def test_exploration_does_not_bring_more_of_the_seen_than_their_share() -> None:
    rules = SceneRules(explore=Exploration(places=3, share=1.0, pool=9))
    seen = {"i0", "i3", "i4"}

    chosen = choose(things(*"abcdef"), Situation(k=3, seed=b"any", seen=seen), rules)

    # i0 goes for one of i3, i4, i5; then no seen item may follow a seen one.
    assert sum(place in (0, 3, 4) for place in chosen.places) <= 1
    assert chosen.relaxed == frozenset()


def test_swapped_items_are_counted_as_they_stand() -> None:
    tally = Tally(things(*"aab"), {"i0"}, RuleSettings(category_share=0.5, seen_share=0.5), 2)
    tally.add(0)
    assert tally.over(1) == ("category_share",)

    tally.swap(0, 2)

    assert tally.over(1) == ()
    assert tally.over(0) == ()
    tally.add(0)
    assert tally.excess() == {"category_share": 0, "seen_share": 0}


def test_without_a_seed_nothing_is_left_to_chance() -> None:
    rules = SceneRules(explore=Exploration(places=3, share=1.0, pool=5))

    assert choose(things(*"abcdef"), Situation(k=3), rules).places == (0, 1, 2)


def test_draws_are_even_and_follow_from_the_seed() -> None:
    draw = draws_of(b"seed")
    numbers = [draw(counter) for counter in range(4_000)]

    assert numbers == [draws_of(b"seed")(counter) for counter in range(4_000)]
    assert numbers[:10] != [draws_of(b"other")(counter) for counter in range(10)]
    assert all(0.0 <= number < 1.0 for number in numbers)
    tenths = Counter(int(number * 10) for number in numbers)
    assert all(300 < tenths[tenth] < 500 for tenth in range(10))  # 400 expected, sd 19
