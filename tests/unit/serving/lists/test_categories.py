"""A category that nobody has met is named, with what it may have been meant to be."""

from __future__ import annotations

import pytest

from serving.lists.categories import unmet

SHARES = {"shoes": 0.5, "toys": 0.3, "books": 0.2}


def told(*wanted: str, met: frozenset[str] = frozenset({"shoes", "toys", "lamps"})) -> list[str]:
    return [words.en for words in unmet(wanted, met, SHARES)]


def test_of_what_somebody_has_met_nothing_is_said() -> None:
    assert told("shoes", "lamps") == []
    assert told() == []


@pytest.mark.parametrize(("wanted", "near"), [("shoess", "shoes"), ("Lamp", "lamps")])
def test_what_is_misspelt_is_named_with_what_is_near(wanted: str, near: str) -> None:
    assert told(wanted) == [
        f"Nobody who may be written to has met the category {wanted!r} lately. Did you mean {near}?"
    ]


def test_where_nothing_is_near_the_most_bought_are_named_and_how_to_see_more() -> None:
    (text,) = told("garden", "garden")

    assert "There are shoes, toys, books, lamps, the most bought first" in text
    assert "without --category" in text


def test_a_category_that_the_bundle_knows_is_no_mistake() -> None:
    assert told("books") == ["Nobody who may be written to has met the category 'books' lately."]


def test_both_languages_say_it() -> None:
    (words,) = unmet(("shoess",), {"shoes"}, {})
    assert "shoes？" in words.zh
    (words,) = unmet(("shoess",), set(), {})
    assert "item_category" in words.en
    assert "item_category" in words.zh
