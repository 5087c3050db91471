"""The rules that every list obeys."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass

from serving.rules import choose


@dataclass(frozen=True)
class Thing:
    item_id: str
    category: str


def things(*categories: str) -> list[Thing]:
    return [Thing(f"i{place}", category) for place, category in enumerate(categories)]


def test_at_most_three_of_ten_places_go_to_one_category() -> None:
    ranked = things(*"aaaaaa", *"bbbbb", *"ccccc", *"ddddd")

    chosen = choose(ranked, 10)

    counts = Counter(ranked[place].category for place in chosen.places)
    # a, b and c fill 3 places each; d takes the tenth.
    assert counts == {"a": 3, "b": 3, "c": 3, "d": 1}
    assert list(chosen.places) == sorted(chosen.places)
    (effect,) = chosen.effects
    assert (effect.rule, effect.affected, effect.note) == ("category_share", 7, "")


def test_the_category_rule_yields_and_says_so_when_the_list_would_stay_short() -> None:
    chosen = choose(things(*"aaaaaaab"), 5)

    assert chosen.places == (0, 1, 2, 3, 7)
    (effect,) = chosen.effects
    assert effect.note.startswith("relaxed for 3 of 5 places")


def test_items_of_unknown_category_are_not_limited() -> None:
    assert choose(things("", "", "", "", ""), 5).places == (0, 1, 2, 3, 4)


def test_purchased_and_excluded_items_never_stand_in_the_list_even_if_nothing_else_is_left() -> (
    None
):
    chosen = choose(things("a", "b", "c"), 3, purchased={"i0", "i1"}, excluded={"i1", "i2"})

    assert chosen.places == ()
    assert [(effect.rule, effect.affected) for effect in chosen.effects] == [
        ("never_purchased", 2),
        ("excluded", 1),
    ]


def test_what_retrieval_withheld_is_counted_too() -> None:
    chosen = choose(things("a"), 1, dropped={"never_purchased": 4, "excluded": 0})

    assert [(effect.rule, effect.affected) for effect in chosen.effects] == [("never_purchased", 4)]


def test_on_random_lists_the_share_holds_unless_the_note_says_otherwise() -> None:
    generator = random.Random(7)
    for _ in range(300):
        size = generator.randint(0, 40)
        ranked = things(*(generator.choice("abcde") for _ in range(size)))
        k = generator.randint(1, 20)
        purchased = {one.item_id for one in ranked if generator.random() < 0.2}

        chosen = choose(ranked, k, purchased=purchased)

        allowed = len(ranked) - len(purchased)
        assert len(chosen.places) == min(k, allowed)
        assert not {ranked[place].item_id for place in chosen.places} & purchased
        counts = Counter(ranked[place].category for place in chosen.places)
        relaxed = any(effect.note for effect in chosen.effects)
        limit = max(1, int(0.3 * len(chosen.places) + 1e-9))
        assert relaxed or all(count <= limit for count in counts.values())


def test_what_was_looked_at_lately_takes_four_of_ten_places_at_most() -> None:
    ranked = things(*(str(number) for number in range(16)))

    chosen = choose(ranked, 10, seen={f"i{place}" for place in range(8)})

    assert chosen.places == (0, 1, 2, 3, 8, 9, 10, 11, 12, 13)
    assert [(effect.rule, effect.affected) for effect in chosen.effects] == [("seen_share", 4)]


def test_the_share_of_the_seen_yields_before_that_of_a_category() -> None:
    # Nine places: two may go to one category, three to what was seen (b to g).
    ranked = things("a", "a", "a", "a", "b", "c", "d", "e", "f", "g")

    chosen = choose(ranked, 9, seen={f"i{place}" for place in range(4, 10)})

    assert chosen.places == (0, 1, 2, 4, 5, 6, 7, 8, 9)
    assert {effect.rule: (effect.affected, effect.note[:24]) for effect in chosen.effects} == {
        "seen_share": (0, "relaxed for 3 of 9 place"),
        "category_share": (1, "relaxed for 1 of 9 place"),
    }
