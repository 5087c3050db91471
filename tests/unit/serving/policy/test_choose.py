"""What becomes of a ranked sequence: each rule by a small story, and which one decides."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from nearline.contracts.answer import Move
from nearline.transforms.buckets import DAY_US
from nearline.transforms.item_facts import UNKNOWN_FACTS, ItemFacts
from serving.policy.check import violations
from serving.policy.choose import Chosen, choose
from serving.policy.model import (
    Audience,
    Boost,
    Campaign,
    Diversity,
    Exploration,
    FrequencyCap,
    Pin,
    RuleSettings,
    SceneRules,
)
from serving.policy.situation import Situation

NOON_US = int(datetime(2026, 11, 11, 12, tzinfo=UTC).timestamp()) * 1_000_000


@dataclass(frozen=True)
class Thing:
    item_id: str
    category: str = ""
    facts: ItemFacts = UNKNOWN_FACTS


def things(*categories: str) -> list[Thing]:
    return [Thing(f"i{place}", category) for place, category in enumerate(categories)]


def campaign(**parts: Any) -> Campaign:
    day = {"starts": datetime(2026, 11, 11, tzinfo=UTC), "ends": datetime(2026, 11, 12, tzinfo=UTC)}
    return Campaign(**{"id": "double-eleven", **day, **parts})


def told(chosen: Chosen) -> dict[str, tuple[int, str]]:
    return {effect.rule: (effect.affected, effect.note) for effect in chosen.effects}


def plain(
    ranked: list[Thing], k: int, settings: RuleSettings | None = None, **known: Any
) -> Chosen:
    rules = SceneRules(settings=settings or RuleSettings())
    return choose(ranked, Situation(k=k, as_of_us=NOON_US, **known), rules)


def shown(ranked: list[Thing], chosen: Chosen) -> list[str]:
    return [ranked[place].item_id for place in chosen.places]


# Hard rules


@pytest.mark.parametrize(
    ("rule", "facts"),
    [
        ("banned", ItemFacts(banned=True)),
        ("under_age", ItemFacts(min_age_years=18)),
        ("out_of_stock", ItemFacts(stock=0)),
        ("low_rated", ItemFacts(rating_hundredths=299)),
    ],
)
def test_what_a_shop_states_of_an_item_keeps_it_out(rule: str, facts: ItemFacts) -> None:
    ranked = [Thing("bad", facts=facts), Thing("good")]

    chosen = plain(ranked, 2)

    assert shown(ranked, chosen) == ["good"]
    (effect,) = chosen.effects
    assert (effect.rule, effect.affected, effect.note, effect.item_ids) == (rule, 1, "", ("bad",))
    assert chosen.moves == ((Move(rule, 2, 1),),)


@pytest.mark.parametrize(
    ("facts", "known", "settings"),
    [
        (ItemFacts(stock=1, rating_hundredths=300), {}, {}),
        (ItemFacts(stock=0), {}, {"out_of_stock": False}),
        (ItemFacts(rating_hundredths=100), {}, {"min_rating": None}),
        (ItemFacts(min_age_years=18), {"age_years": 18}, {}),
        (ItemFacts(min_age_years=18), {}, {"age_limits": False}),
    ],
)
def test_at_the_bound_or_with_the_rule_off_it_stays(
    facts: ItemFacts, known: dict[str, Any], settings: dict[str, Any]
) -> None:
    assert plain([Thing("a", facts=facts)], 1, RuleSettings(**settings), **known).places == (0,)


def test_a_shop_bans_by_name_and_by_category() -> None:
    settings = RuleSettings(banned=frozenset({"i1"}), banned_categories=frozenset({"knives"}))

    chosen = plain(things("knives", "toys", "toys"), 3, settings)

    assert chosen.places == (2,)
    assert told(chosen) == {"banned": (2, "")}


@pytest.mark.parametrize(
    ("facts", "category", "days_ago", "returns"),
    [
        (UNKNOWN_FACTS, "toys", 1000, False),
        (ItemFacts(repurchase_days=30), "toys", 29, False),
        (ItemFacts(repurchase_days=30), "toys", 30, True),
        (UNKNOWN_FACTS, "food", 13, False),
        (UNKNOWN_FACTS, "food", 14, True),
        (ItemFacts(repurchase_days=30), "food", 14, False),  # the item's own figure decides
        (UNKNOWN_FACTS, "news", 0, True),
    ],
)
def test_what_was_purchased_returns_only_when_due(
    facts: ItemFacts, category: str, days_ago: int, returns: bool
) -> None:
    settings = RuleSettings(repurchasable_categories={"food": 14, "news": 0})
    ranked = [Thing("a", category, facts)]

    chosen = plain(ranked, 1, settings, purchased={"a": NOON_US - days_ago * DAY_US})

    assert chosen.places == ((0,) if returns else ())
    assert ("never_purchased" in told(chosen)) is not returns


def test_each_withheld_item_counts_for_the_first_rule_in_the_order_of_truth() -> None:
    bad = ItemFacts(banned=True, stock=0, rating_hundredths=0, min_age_years=18)
    chosen = plain([Thing("a", facts=bad)], 1, purchased={"a": 0}, excluded={"a"}, anchors={"a"})

    assert told(chosen) == {"banned": (1, "")}


def test_purchased_excluded_and_anchors_stay_out_even_if_nothing_else_is_left() -> None:
    chosen = plain(
        things("a", "b", "c"), 3, purchased={"i0": 0}, excluded={"i0", "i1"}, anchors={"i1", "i2"}
    )

    assert chosen.places == ()
    assert told(chosen) == {"never_purchased": (1, ""), "excluded": (1, ""), "anchor": (1, "")}


def test_what_retrieval_withheld_is_counted_too() -> None:
    chosen = choose(
        things("a"), Situation(k=1), SceneRules(), dropped={"never_purchased": 4, "excluded": 0}
    )

    assert told(chosen) == {"never_purchased": (4, "")}


def test_every_rule_that_makes_room_is_named_among_the_moves() -> None:
    ranked = [Thing("a", facts=ItemFacts(stock=0)), *(Thing(name) for name in "bcdefg")]

    chosen = plain(ranked, 3, purchased={"b": 0}, excluded={"c", "f"}, anchors={"d"})

    assert shown(ranked, chosen) == ["e", "g"]
    assert chosen.moves == (
        (
            Move("out_of_stock", 5, 4),
            Move("never_purchased", 4, 3),
            Move("excluded", 3, 2),
            Move("anchor", 2, 1),
        ),
        (
            Move("out_of_stock", 7, 6),
            Move("never_purchased", 6, 5),
            Move("excluded", 5, 3),
            Move("anchor", 3, 2),
        ),
    )


def test_an_item_that_is_ranked_twice_is_shown_once() -> None:
    chosen = plain([Thing("a"), Thing("a"), Thing("b")], 3)

    assert chosen.places == (0, 2)
    assert told(chosen) == {"duplicate": (1, "")}


def test_a_reached_cap_empties_the_list_and_says_so() -> None:
    chosen = plain(things("a", "b", "c"), 2, excluded={"i1"}, capped=True)

    assert chosen.places == chosen.moves == chosen.propensities == ()
    assert told(chosen)["excluded"] == (1, "")
    assert told(chosen)["frequency_cap"][0] == 2
    assert told(chosen)["frequency_cap"][1].startswith("nothing is sent")


# Shares


def test_at_most_three_of_ten_places_go_to_one_category() -> None:
    ranked = things(*"aaaaaa", *"bbbbb", *"ccccc", *"ddddd")

    chosen = plain(ranked, 10)

    # a, b and c fill 3 places each; d takes the tenth.
    assert Counter(ranked[place].category for place in chosen.places) == {
        "a": 3,
        "b": 3,
        "c": 3,
        "d": 1,
    }
    assert list(chosen.places) == sorted(chosen.places)
    assert told(chosen) == {"category_share": (7, "")}
    # The first b was ranked 7th; three of category a were passed over.
    assert chosen.moves[2:4] == ((), (Move("category_share", 7, 4),))


def test_the_category_rule_yields_and_says_so_when_the_list_would_stay_short() -> None:
    chosen = plain(things(*"aaaaaaab"), 5)

    assert chosen.places == (0, 1, 2, 3, 7)
    assert told(chosen)["category_share"] == (
        3,
        "relaxed for 3 of 5 places: too few other candidates",
    )
    assert chosen.relaxed == {"category_share"}


def test_items_of_unknown_category_are_not_limited() -> None:
    assert plain(things("", "", "", "", ""), 5).places == (0, 1, 2, 3, 4)


def test_what_was_looked_at_lately_takes_four_of_ten_places_at_most() -> None:
    ranked = things(*(str(number) for number in range(16)))

    chosen = plain(ranked, 10, seen={f"i{place}" for place in range(8)})

    assert chosen.places == (0, 1, 2, 3, 8, 9, 10, 11, 12, 13)
    assert told(chosen) == {"seen_share": (4, "")}


def test_the_share_of_the_seen_yields_before_that_of_a_category() -> None:
    # Nine places: two may go to one category, three to what was seen (b to g).
    ranked = things("a", "a", "a", "a", "b", "c", "d", "e", "f", "g")

    chosen = plain(ranked, 9, seen={f"i{place}" for place in range(4, 10)})

    assert chosen.places == (0, 1, 2, 4, 5, 6, 7, 8, 9)
    assert {rule: (count, note[:24]) for rule, (count, note) in told(chosen).items()} == {
        "category_share": (1, "relaxed for 1 of 9 place"),
        "seen_share": (0, "relaxed for 3 of 9 place"),
    }


def test_both_shares_make_room_past_a_pin() -> None:
    # Three places: one for a category, one for what was seen. i6 is pinned to the second.
    rules = SceneRules(campaigns=(campaign(pins=(Pin("i6", 2),)),))
    ranked = things(*"aabcdefg")
    situation = Situation(k=3, as_of_us=NOON_US, seen={"i2", "i3", "i4", "i0"})

    chosen = choose(ranked, situation, rules)

    assert chosen.places == (0, 6, 5)
    # i1 shares its category with i0; i2 to i4 were seen, as i0 was. i5 was ranked sixth.
    assert chosen.moves[2] == (
        Move("pin", 6, 7),
        Move("category_share", 7, 6),
        Move("seen_share", 6, 3),
    )


def test_a_share_yields_for_no_more_places_than_needed() -> None:
    # Ten places: three may go to a. Six others exist, so one a more than three is needed.
    chosen = plain(things(*"aaaaaaaa", *"bcdefg"), 10)

    assert told(chosen)["category_share"] == (
        4,
        "relaxed for 1 of 10 places: too few other candidates",
    )


# Campaigns


def test_a_pin_stands_at_its_place_while_its_campaign_runs() -> None:
    rules = SceneRules(campaigns=(campaign(pins=(Pin("i4", 2),)),))
    ranked = things(*"abcde")

    during = choose(ranked, Situation(k=3, as_of_us=NOON_US), rules)
    after = choose(ranked, Situation(k=3, as_of_us=NOON_US + DAY_US), rules)

    assert during.places == (0, 4, 1)
    assert during.moves == ((), (Move("pin", 5, 2),), (Move("pin", 2, 3),))
    assert told(during) == {"pin": (1, "")}
    assert after.places == (0, 1, 2)


def test_a_campaign_begins_with_its_first_instant_and_ends_before_its_last() -> None:
    rules = SceneRules(campaigns=(campaign(pins=(Pin("i1", 1),)),))
    begin = NOON_US - DAY_US // 2

    def first(as_of_us: int) -> int:
        return choose(things("a", "b"), Situation(k=1, as_of_us=as_of_us), rules).places[0]

    assert [first(begin - 1), first(begin), first(begin + DAY_US - 1), first(begin + DAY_US)] == [
        0,
        1,
        1,
        0,
    ]


def test_a_pin_counts_into_the_shares_and_may_exceed_them() -> None:
    # Three places, one for each category; the pins take two of category a.
    rules = SceneRules(campaigns=(campaign(pins=(Pin("i1", 1), Pin("i2", 3))),))

    chosen = choose(things(*"aaab"), Situation(k=3, as_of_us=NOON_US), rules)

    assert chosen.places == (1, 3, 2)
    assert told(chosen)["category_share"] == (1, "relaxed for 1 of 3 places: pins")


def test_a_pin_that_cannot_stand_is_dropped_and_said() -> None:
    pins = (Pin("i0", 1), Pin("none", 2), Pin("i1", 1), Pin("i2", 1), Pin("i1", 2), Pin("i3", 9))
    rules = SceneRules(campaigns=(campaign(pins=pins),))

    chosen = choose(things(*"abcd"), Situation(k=2, as_of_us=NOON_US, excluded={"i0"}), rules)

    assert chosen.places == (1, 2)
    assert told(chosen)["pin"] == (
        1,
        "dropped: i0 (excluded), none (not among the candidates), i2 (place 1 is taken), "
        "i1 (pinned already), i3 (place 9 of 2)",
    )


def test_retrieval_learns_which_items_are_pinned_now() -> None:
    fans = Audience(frozenset({"dormant"}))
    rules = SceneRules(
        campaigns=(
            campaign(pins=(Pin("i1", 1), Pin("i2", 2))),
            campaign(pins=(Pin("i2", 1), Pin("i3", 2)), audience=fans),
        )
    )

    assert rules.pinned_ids(NOON_US, frozenset()) == ("i1", "i2")
    assert rules.pinned_ids(NOON_US, {"dormant"}) == ("i1", "i2", "i3")
    assert rules.pinned_ids(NOON_US + DAY_US, frozenset()) == ()


def test_a_boost_divides_the_rank_whatever_the_scores() -> None:
    # By rank / factor: i3 4 / 3, i0 1 / 0.5 = 2, i1 2 (ranked after i0), i2 3.
    boosts = (Boost(3.0, item_id="i3"), Boost(0.5, category="a"))
    rules = SceneRules(campaigns=(campaign(boosts=boosts),))

    chosen = choose(things(*"abcd"), Situation(k=4, as_of_us=NOON_US), rules)

    assert chosen.places == (3, 0, 1, 2)
    assert chosen.moves[0] == (Move("boost", 4, 1),)
    assert told(chosen) == {"boost": (2, "")}


def test_factors_of_several_boosts_multiply() -> None:
    boosts = (Boost(2.0, item_id="i5"), Boost(2.0, category="f"))
    rules = SceneRules(campaigns=(campaign(boosts=boosts),))

    # 6 / 4 = 1.5: between the first and the second.
    chosen = choose(things(*"abcdef"), Situation(k=3, as_of_us=NOON_US), rules)

    assert chosen.places == (0, 5, 1)


def test_a_campaign_for_an_audience_does_not_speak_to_others() -> None:
    fans = Audience(frozenset({"new_customer", "dormant"}))
    rules = SceneRules(campaigns=(campaign(pins=(Pin("i1", 1),), audience=fans),))

    def first(**known: Any) -> int:
        return choose(things("a", "b"), Situation(k=1, as_of_us=NOON_US, **known), rules).places[0]

    assert first(tags={"dormant"}) == 1
    assert first(tags={"big_spender"}) == 0
    assert first() == 0
    assert first(tags={"dormant"}, personalized=False) == 0


def test_no_boost_brings_a_category_beyond_its_share() -> None:
    rules = SceneRules(campaigns=(campaign(boosts=(Boost(100.0, category="a"),)),))

    chosen = choose(things(*"bcdefgha", *"aaaa"), Situation(k=4, as_of_us=NOON_US), rules)

    assert chosen.places == (7, 0, 1, 2)


# Diversity


def test_strength_zero_is_the_plain_order_and_asks_for_no_vector() -> None:
    def vectors_of(_places: Any) -> Any:
        raise AssertionError("asked")

    chosen = choose(things(*"abcd"), Situation(k=4), SceneRules(), vectors_of=vectors_of)

    assert chosen.places == (0, 1, 2, 3)


def test_diversity_sends_a_double_of_the_first_back() -> None:
    # i1 is i0 again, i2 is at a right angle. Relevance of the three: 1, 2/3, 1/3.
    # With 0.4: i1 0.6 * 2/3 - 0.4 = 0.0, i2 0.6 * 1/3 - 0 = 0.2.
    vectors = np.array([[1, 0], [1, 0], [0, 1]], np.float32)
    rules = SceneRules(diversity=Diversity(strength=0.4))

    chosen = choose(things(*"abc"), Situation(k=3), rules, vectors_of=lambda at: vectors[at])

    assert chosen.places == (0, 2, 1)
    assert chosen.moves == ((), (Move("diversity", 3, 2),), (Move("diversity", 2, 3),))
    assert told(chosen) == {"diversity": (2, "")}


def test_diversity_equals_its_definition_on_random_vectors() -> None:
    generator = np.random.default_rng(5)
    for _ in range(20):
        size, strength = int(generator.integers(3, 30)), float(generator.random())
        vectors = generator.normal(size=(size, 4)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        pool = int(generator.integers(2, 40))
        rules = SceneRules(diversity=Diversity(strength=strength, pool=pool))

        got = choose(
            things(*[""] * size), Situation(k=size), rules, vectors_of=vectors.__getitem__
        ).places

        head = min(size, pool)
        left, expected = list(range(1, head)), [0]
        while left and head > 2:
            worth = {
                at: (1 - strength) * (1 - at / head)
                - strength * max(float(vectors[at] @ vectors[one]) for one in expected)
                for at in left
            }
            expected.append(max(left, key=worth.__getitem__))
            left.remove(expected[-1])
        assert got == (*expected, *left, *range(head, size))


# Without personalization


def test_without_personalization_nothing_of_the_customer_counts() -> None:
    ranked = things(*"abcdefghij")
    rules = SceneRules(explore=Exploration(places=5, share=1.0))
    nobody = Situation(k=5, as_of_us=NOON_US, excluded={"i1"}, personalized=False)
    somebody = Situation(
        k=5,
        as_of_us=NOON_US,
        excluded={"i1"},
        purchased={"i0": NOON_US},
        seen={"i2", "i3", "i4", "i5"},
        tags={"dormant"},
        capped=True,
        seed=b"mine",
        personalized=False,
    )

    assert choose(ranked, somebody, rules) == choose(ranked, nobody, rules)
    assert choose(ranked, nobody, rules).places == (0, 2, 3, 4, 5)


# The checker


@pytest.mark.parametrize(
    ("broken", "items", "known"),
    [
        ("banned", [Thing("a", facts=ItemFacts(banned=True))], {}),
        ("banned", [Thing("named")], {}),
        ("banned", [Thing("a", "knives")], {}),
        ("under_age", [Thing("a", facts=ItemFacts(min_age_years=12))], {}),
        ("out_of_stock", [Thing("a", facts=ItemFacts(stock=0))], {}),
        ("low_rated", [Thing("a", facts=ItemFacts(rating_hundredths=299))], {}),
        ("never_purchased", [Thing("a")], {"purchased": {"a": 0}}),
        (
            "never_purchased",
            [Thing("a", facts=ItemFacts(repurchase_days=30))],
            {"purchased": {"a": NOON_US - 29 * DAY_US}},
        ),
        ("excluded", [Thing("a")], {"excluded": {"a"}}),
        ("anchor", [Thing("a")], {"anchors": {"a"}}),
        ("frequency_cap", [Thing("a")], {"capped": True}),
        ("duplicate", [Thing("a"), Thing("a")], {}),
        ("too_long", [Thing("a"), Thing("b"), Thing("c"), Thing("d")], {}),
        ("category_share", [Thing("a", "x"), Thing("b", "x"), Thing("c", "y")], {}),
        ("seen_share", [Thing("a"), Thing("b"), Thing("c")], {"seen": {"a", "c"}}),
    ],
)
def test_a_planted_violation_is_found(
    broken: str, items: list[Thing], known: dict[str, Any]
) -> None:
    settings = RuleSettings(banned=frozenset({"named"}), banned_categories=frozenset({"knives"}))
    situation = Situation(k=3, as_of_us=NOON_US, **known)

    assert violations(items, situation, settings) == (broken,)
    relaxed = violations(items, situation, settings, {"category_share", "seen_share"})
    assert relaxed == (() if broken.endswith("_share") else (broken,))


def test_caps_count_by_channel() -> None:
    push, email = FrequencyCap("push", 2, 24), FrequencyCap("email", 1, 168)
    rules = SceneRules(settings=RuleSettings(frequency_caps=(push, email)))

    assert (rules.caps("push"), rules.caps("email"), rules.caps("")) == ((push,), (email,), ())
