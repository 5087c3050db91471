"""Items that came after the bundle: looked for, shown and explained."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from msgspec.structs import replace as changed

from nearline.contracts.answer import RecommendQuery
from nearline.contracts.event import ITEM_LISTED, Event, Line
from nearline.errors import StoreUnavailable
from serving.arrivals import Arrived, Newcomers
from serving.bundles import Shelf
from serving.memory import MemoryFeatures
from serving.retrieval import Retrieval, RetrievalRequest


def listed(tiny: ModuleType, name: str, category: str, cents: int, ago_s: float = 1.0) -> Event:
    return changed(
        tiny.event(0, "shop", ITEM_LISTED, [0], ago_s),
        event_id=f"listed/{name}/{category}",
        lines=(Line(name, 1, cents or None, category or None),),
    )


def retrieved(retrieval: Retrieval, tiny: ModuleType, who: str, *excluded: str) -> dict[str, Any]:
    found = asyncio.run(retrieval.retrieve(RetrievalRequest(who, excluded, tiny.NOW_US)))
    return {option.item_id: option for option in found.options}


@pytest.fixture
def shelf(bundle_folder: Path) -> Shelf:
    shelf = Shelf()
    shelf.prepare("1", bundle_folder)
    shelf.activate("1")
    return shelf


def test_a_new_item_of_the_customers_taste_is_found_after_one_look(
    tiny: ModuleType, shelf: Shelf
) -> None:
    features = MemoryFeatures()
    retrieval = Retrieval(features, shelf)
    features.fold([tiny.event(1, "ann", "view_item", [3], 300)])
    features.fold([listed(tiny, "new", "c3", 1_003), listed(tiny, "other", "c1", 1_003)])
    assert "new" not in retrieved(retrieval, tiny, "ann")

    asyncio.run(retrieval.look_for_arrivals())

    found = retrieved(retrieval, tiny, "ann")
    assert found["new"].candidate.ranks == {"arrivals": 1}  # i3 is of c3 too, and of its price.
    assert found["new"].candidate.scores["arrivals"] == pytest.approx(1.0)
    assert (found["new"].category, found["new"].price_cents) == ("c3", 1_003)
    assert found["new"].nearest_item_id == "i3"
    assert found["other"].candidate.ranks["arrivals"] == 2
    assert len({option.candidate.item_index for option in found.values()}) == len(found)
    assert "new" not in retrieved(retrieval, tiny, "ann", "new")


def test_a_new_item_that_was_viewed_is_revisited_and_never_shown_once_bought(
    tiny: ModuleType, shelf: Shelf
) -> None:
    features = MemoryFeatures()
    retrieval = Retrieval(features, shelf)
    met = listed(tiny, "new", "c2", 500)
    features.fold([met, changed(met, event_id="v", customer_id="ann", name="view_item")])
    asyncio.run(retrieval.look_for_arrivals())

    seen = retrieved(retrieval, tiny, "ann")
    features.fold([changed(met, event_id="p", customer_id="ann", name="purchase")])
    bought = retrieved(retrieval, tiny, "ann")

    assert set(seen["new"].candidate.ranks) == {"revisit", "arrivals"}
    assert any("content" in option.candidate.ranks for option in seen.values())
    assert "new" not in bought


def test_a_new_item_is_explained_in_both_languages(world: Any, tiny: ModuleType) -> None:
    world.features.fold([tiny.event(1, "ann", "view_item", [3], 300)])
    world.features.fold([listed(tiny, "new", "c3", 1_003)])
    asyncio.run(world.answering._retrieval.look_for_arrivals())

    answer = asyncio.run(world.answering.recommend(RecommendQuery("ann", k=100)))

    (new,) = [item for item in answer.items if item.item_id == "new"]
    assert new.sources == ("arrivals",)
    assert (new.reasons[0].code, new.reasons[0].text_zh) == ("new_arrival", "新品上架")


def test_a_row_that_says_its_category_later_is_read_again(tiny: ModuleType) -> None:
    features = MemoryFeatures()
    newcomers = Newcomers(features, lambda: {"i1"})
    features.fold([listed(tiny, "new", "", 0)])

    async def look(times: int) -> tuple[Arrived, ...]:
        for _ in range(times):
            await newcomers.look()
        return newcomers.items

    before = asyncio.run(look(1))
    features.fold([listed(tiny, "new", "c1", 700)])
    after = asyncio.run(look(10))

    assert before == (Arrived("new", "", 0),)
    assert after == (Arrived("new", "c1", 700),)


def test_what_the_bundle_knows_is_no_newcomer_and_the_newest_come_first(tiny: ModuleType) -> None:
    features = MemoryFeatures()
    newcomers = Newcomers(features, lambda: {"known"})
    features.fold(listed(tiny, name, "c1", 5, ago) for name, ago in
                  [("old", 90), ("known", 60), ("young", 30)])  # fmt: skip

    asyncio.run(newcomers.look())

    assert [one.item_id for one in newcomers.items] == ["young", "old"]


def test_what_was_seen_stays_when_the_store_is_away(tiny: ModuleType, shelf: Shelf) -> None:
    features = MemoryFeatures()
    retrieval, newcomers = Retrieval(features, shelf), Newcomers(features, lambda: {"i1"})
    features.fold([listed(tiny, "new", "c3", 1_003)])
    asyncio.run(newcomers.look())
    features.down = True

    with pytest.raises(StoreUnavailable):
        asyncio.run(newcomers.look())
    asyncio.run(retrieval.look_for_arrivals())  # Says so in the log, and goes on.

    assert [one.item_id for one in newcomers.items] == ["new"]


def test_without_a_bundle_nobody_looks() -> None:
    features = MemoryFeatures()
    features.down = True

    asyncio.run(Newcomers(features, lambda: None).look())
