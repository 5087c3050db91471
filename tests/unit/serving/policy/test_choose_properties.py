"""On any catalogue, customer and campaign: no hard rule breaks, and what yields is declared."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from nearline.transforms.buckets import DAY_US
from nearline.transforms.item_facts import UNKNOWN_FACTS, ItemFacts
from serving.policy.check import violations
from serving.policy.choose import choose
from serving.policy.model import (
    Boost,
    Campaign,
    Diversity,
    Exploration,
    Pin,
    RuleSettings,
    SceneRules,
)
from serving.policy.situation import Situation

NOW_US = 1_000 * DAY_US
IDS = [f"i{number}" for number in range(40)]
CATEGORIES = ["", "a", "b", "c", "d"]


@dataclass(frozen=True)
class Thing:
    item_id: str
    category: str
    facts: ItemFacts


facts = st.one_of(
    st.just(UNKNOWN_FACTS),
    st.builds(
        ItemFacts,
        stock=st.sampled_from([None, 0, 3]),
        rating_hundredths=st.sampled_from([None, 120, 300, 480]),
        banned=st.sampled_from([False, False, False, True]),
        min_age_years=st.sampled_from([0, 0, 12, 18]),
        repurchase_days=st.sampled_from([0, 0, 30]),
    ),
)
catalogues = st.lists(
    st.builds(Thing, st.sampled_from(IDS), st.sampled_from(CATEGORIES), facts), max_size=40
)
some_ids = st.frozensets(st.sampled_from(IDS), max_size=12)
situations = st.builds(
    Situation,
    k=st.integers(1, 15),
    as_of_us=st.just(NOW_US),
    purchased=st.dictionaries(
        st.sampled_from(IDS),
        st.sampled_from([NOW_US - days * DAY_US for days in (0, 20, 30, 40)]),
        max_size=8,
    ),
    excluded=some_ids,
    seen=some_ids,
    anchors=st.frozensets(st.sampled_from(IDS), max_size=2),
    age_years=st.sampled_from([None, 10, 12, 30]),
    capped=st.sampled_from([False, False, False, True]),
    personalized=st.sampled_from([True, True, False]),
    seed=st.binary(max_size=4),
)
campaigns = st.builds(
    Campaign,
    id=st.just("any"),
    starts=st.just(datetime(1970, 1, 1, tzinfo=UTC)),
    ends=st.sampled_from([datetime(1971, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC)]),
    pins=st.lists(st.builds(Pin, st.sampled_from(IDS), st.integers(1, 20)), max_size=4).map(tuple),
    boosts=st.lists(
        st.one_of(
            st.builds(Boost, st.floats(0.1, 10.0), item_id=st.sampled_from(IDS)),
            st.builds(Boost, st.floats(0.1, 10.0), category=st.sampled_from(CATEGORIES[1:])),
        ),
        max_size=3,
    ).map(tuple),
)
rule_sets = st.builds(
    SceneRules,
    settings=st.builds(
        RuleSettings,
        never_purchased=st.booleans(),
        repurchasable_categories=st.sampled_from([{}, {"a": 30}]),
        category_share=st.sampled_from([0.1, 0.3, 0.5, 1.0]),
        seen_share=st.sampled_from([0.1, 0.4, 1.0]),
        min_rating=st.sampled_from([None, 3.0]),
        out_of_stock=st.booleans(),
        banned=st.frozensets(st.sampled_from(IDS), max_size=3),
        banned_categories=st.sampled_from([frozenset(), frozenset({"d"})]),
        age_limits=st.booleans(),
    ),
    explore=st.builds(
        Exploration, st.integers(0, 5), st.sampled_from([0.0, 0.5, 1.0]), st.integers(1, 20)
    ),
    diversity=st.builds(Diversity, st.sampled_from([0.0, 0.3, 1.0]), st.integers(2, 30)),
    campaigns=st.lists(campaigns, max_size=2).map(tuple),
)
DIRECTIONS = np.random.default_rng(3).normal(size=(40, 4)).astype(np.float32)
DIRECTIONS /= np.linalg.norm(DIRECTIONS, axis=1, keepdims=True)


@settings(max_examples=200)
@given(catalogues, situations, rule_sets)
def test_no_list_breaks_a_rule(
    ranked: list[Thing], situation: Situation, rules: SceneRules
) -> None:
    chosen = choose(ranked, situation, rules, vectors_of=lambda at: DIRECTIONS[at])

    items = [ranked[place] for place in chosen.places]
    assert violations(items, situation, rules.settings, chosen.relaxed) == ()
    noted = {effect.rule for effect in chosen.effects if effect.note}
    assert chosen.relaxed == noted & {"category_share", "seen_share"}
    assert len(chosen.moves) == len(chosen.propensities) == len(items)
    assert all(0.0 < propensity <= 1.0 for propensity in chosen.propensities)
    assert choose(ranked, situation, rules, vectors_of=lambda at: DIRECTIONS[at]) == chosen


@settings(max_examples=200)
@given(catalogues, situations, rule_sets)
def test_a_list_is_as_long_as_asked_or_as_there_are_items_that_no_hard_rule_withholds(
    ranked: list[Thing], situation: Situation, rules: SceneRules
) -> None:
    chosen = choose(ranked, situation, rules, vectors_of=lambda at: DIRECTIONS[at])

    first = {one.item_id: one for one in reversed(ranked)}.values()  # as it is ranked first
    alone = [one for one in first if not violations([one], situation, rules.settings)]
    assert len(chosen.places) == min(situation.k, len(alone))


@settings(max_examples=200)
@given(catalogues, situations, rule_sets)
def test_moves_lead_without_gaps_from_the_ranked_order_to_the_place(
    ranked: list[Thing], situation: Situation, rules: SceneRules
) -> None:
    chosen = choose(ranked, situation, rules, vectors_of=lambda at: DIRECTIONS[at])

    for rank, (place, moves) in enumerate(zip(chosen.places, chosen.moves, strict=True), start=1):
        chain = [place + 1, *(move.to_rank for move in moves)]
        assert [move.from_rank for move in moves] == chain[:-1]
        assert chain[-1] == rank
        assert all(move.from_rank != move.to_rank for move in moves)


@settings(max_examples=200)
@given(catalogues, situations, rule_sets)
def test_relaxed_places_are_counted_as_they_are(
    ranked: list[Thing], situation: Situation, rules: SceneRules
) -> None:
    chosen = choose(ranked, situation, rules, vectors_of=lambda at: DIRECTIONS[at])

    items = [ranked[place] for place in chosen.places]
    kinds = Counter(one.category for one in items if one.category)
    limit = max(1, int(rules.settings.category_share * len(items) + 1e-9))
    beyond = sum(max(0, count - limit) for count in kinds.values())
    notes = {effect.rule: effect.note for effect in chosen.effects}
    said = notes.get("category_share", "")
    assert said.startswith(f"relaxed for {beyond} of {len(items)} places") if beyond else not said


@settings(max_examples=200)
@given(catalogues, situations, rule_sets)
def test_a_share_yields_only_where_no_other_item_was_left(
    ranked: list[Thing], situation: Situation, rules: SceneRules
) -> None:
    chosen = choose(ranked, situation, rules, vectors_of=lambda at: DIRECTIONS[at])

    notes = {effect.rule: effect.note for effect in chosen.effects}
    listed = {ranked[place].item_id for place in chosen.places}
    kinds = Counter(ranked[place].category for place in chosen.places)
    limit = max(1, int(rules.settings.category_share * len(chosen.places) + 1e-9))
    first = {one.item_id: one for one in reversed(ranked)}.values()
    left = [
        one
        for one in first
        if one.item_id not in listed and not violations([one], situation, rules.settings)
    ]
    full = [one for one in left if one.category and kinds[one.category] >= limit]
    if "too few other candidates" in notes.get("category_share", ""):
        assert full == left
    if "too few other candidates" in notes.get("seen_share", ""):
        assert all(one in full or one.item_id in situation.seen for one in left)
