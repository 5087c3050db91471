"""Items that came after the bundle: shown and explained."""

from __future__ import annotations

import asyncio
from types import ModuleType
from typing import Any

import pytest
from msgspec.structs import replace as changed

from nearline.contracts.answer import RecommendedItem, RecommendQuery
from nearline.contracts.event import ITEM_LISTED, Event, Line
from serving.arrivals import Arrived, arrived


def listed(tiny: ModuleType, name: str, category: str, cents: int, ago_s: float = 1.0) -> Event:
    return changed(
        tiny.event(0, "shop", ITEM_LISTED, [0], ago_s),
        event_id=f"listed/{name}/{category}",
        lines=(Line(name, 1, cents or None, category or None),),
    )


def shown(world: Any, who: str, *excluded: str) -> dict[str, RecommendedItem]:
    query = RecommendQuery(who, k=100, exclude_item_ids=excluded, explain=True)
    answer = asyncio.run(world.answering.recommend(query))
    return {item.item_id: item for item in answer.items}


def test_a_new_item_of_the_customers_taste_is_found(world: Any, tiny: ModuleType) -> None:
    world.features.fold([tiny.event(1, "ann", "view_item", [3], 300)])
    assert "new" not in shown(world, "ann")

    world.features.fold([listed(tiny, "new", "c3", 1_003), listed(tiny, "other", "c1", 1_003)])

    found = shown(world, "ann")
    new = found["new"]
    assert new.explanation is not None
    assert new.explanation.source_ranks == {"arrivals": 1}  # i3 is of c3 too, and of its price.
    assert new.explanation.nearest[0].similarity == pytest.approx(0.0, abs=1.0)
    assert new.explanation.nearest[0].item_id == "i3"
    assert (new.category, new.price_cents) == ("c3", 1_003)
    assert found["other"].explanation is not None
    assert found["other"].explanation.source_ranks["arrivals"] == 2
    assert "new" not in shown(world, "ann", "new")


def test_a_new_item_that_was_viewed_is_revisited_and_never_shown_once_bought(
    world: Any, tiny: ModuleType
) -> None:
    met = listed(tiny, "new", "c2", 500)
    world.features.fold([met, changed(met, event_id="v", customer_id="ann", name="view_item")])

    seen = shown(world, "ann")
    world.features.fold([changed(met, event_id="p", customer_id="ann", name="purchase")])
    bought = shown(world, "ann")

    assert seen["new"].sources == ("revisit", "arrivals")
    assert any("content" in item.sources for item in seen.values())
    assert "new" not in bought


def test_a_new_item_is_explained_in_both_languages(world: Any, tiny: ModuleType) -> None:
    world.features.fold([tiny.event(1, "ann", "view_item", [3], 300)])
    world.features.fold([listed(tiny, "new", "c3", 1_003)])

    new = shown(world, "ann")["new"]

    assert new.sources == ("arrivals",)
    assert (new.reasons[0].code, new.reasons[0].text_zh) == ("new_arrival", "新品上架")


def test_what_a_shop_says_later_of_an_arrival_counts(world: Any, tiny: ModuleType) -> None:
    table = world.features.items
    world.features.fold([listed(tiny, "new", "", 0)])
    before = arrived(table)

    world.features.fold([listed(tiny, "new", "c1", 700)])

    assert before == (Arrived("new", "", 0),)
    assert arrived(table) == (Arrived("new", "c1", 700),)


def test_the_newest_come_first(world: Any, tiny: ModuleType) -> None:
    world.features.fold(listed(tiny, name, "c1", 5, ago) for name, ago in
                        [("old", 90), ("young", 30)])  # fmt: skip

    assert [one.item_id for one in arrived(world.features.items)] == ["young", "old"]
