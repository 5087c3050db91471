"""Two bundles side by side: who is answered by which."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from nearline.contracts.answer import Chosen, Degradation, RecommendQuery
from nearline.errors import PermanentError
from nearline.settings import Settings
from serving.bundles import Shelf
from serving.challenger import wants_challenger
from serving.config import ServingConfig
from serving.requests import InvalidRequest, recommend_query

NAMES = [f"c{number}" for number in range(4_000)]


def asked(name: str, share: float) -> bool:
    return wants_challenger(RecommendQuery(name), share)


def test_a_share_of_customers_gets_the_challenger_and_keeps_it_as_the_share_grows() -> None:
    few = {name for name in NAMES if asked(name, 0.1)}
    more = {name for name in NAMES if asked(name, 0.3)}

    assert 320 <= len(few) <= 480  # 400 expected, four standard deviations each way
    assert 1_084 <= len(more) <= 1_316
    assert few < more
    assert not any(asked(name, 0.0) for name in NAMES)
    assert all(asked(name, 1.0) for name in NAMES)


def test_who_asks_gets_what_was_asked_whatever_the_share() -> None:
    assert wants_challenger(RecommendQuery("ann", bundle=Chosen.CHALLENGER), 0.0)
    assert not wants_challenger(RecommendQuery("ann", bundle=Chosen.CHAMPION), 1.0)


def test_an_unknown_choice_is_refused_with_the_known_ones() -> None:
    assert recommend_query("ann").bundle is None
    assert recommend_query("ann", bundle="challenger").bundle is Chosen.CHALLENGER
    with pytest.raises(InvalidRequest, match="champion or challenger"):
        recommend_query("ann", bundle="newest")


def test_a_share_outside_0_to_1_is_refused_with_its_variable() -> None:
    with pytest.raises(PermanentError, match=r"NEARLINE_CHALLENGER_SHARE=1\.5"):
        ServingConfig.of(Settings(challenger_share=1.5))


def test_champion_and_challenger_are_both_resident_while_a_third_is_prepared(
    bundle_folder: Path,
) -> None:
    shelf = Shelf()
    for version in ("1", "2", "3"):
        shelf.prepare(version, bundle_folder)
        if version == "1":
            shelf.activate("1")
        if version == "2":
            shelf.challenge("2")

    assert shelf.versions == ("1", "2", "3")
    shelf.activate("3")
    assert shelf.get("1") is not None  # requests under way
    shelf.prepare("4", bundle_folder)
    assert shelf.versions == ("2", "3", "4")
    with pytest.raises(KeyError, match="prepare it first"):
        shelf.challenge("9")


def test_a_stage_without_a_challenger_answers_with_the_champion(bundle_folder: Path) -> None:
    shelf = Shelf()
    shelf.prepare("1", bundle_folder)
    shelf.activate("1")

    assert shelf.answering(challenger=True) is shelf.current


def test_the_answer_names_the_bundle_that_made_it(
    world: Any, tiny: ModuleType, tmp_path: Path
) -> None:
    other = tiny.write(tmp_path / "2", seed=5)
    world.shelf.prepare("2", other)
    world.shelf.challenge("2")
    world.features.fold([tiny.event(1, "ann", "view_item", [3])])

    def ask(chosen: Chosen | None) -> Any:
        query = RecommendQuery("ann", as_of_us=tiny.NOW_US, bundle=chosen)
        return asyncio.run(world.answering.recommend(query))

    plain, asked_for = ask(None), ask(Chosen.CHALLENGER)

    assert (plain.versions.bundle, asked_for.versions.bundle) == ("1", "2")
    assert plain.degraded == asked_for.degraded == ()
    assert [one.score for one in plain.items] != [one.score for one in asked_for.items]


def test_a_challenger_that_is_not_there_is_said_and_the_champion_answers(
    world: Any, tiny: ModuleType
) -> None:
    query = RecommendQuery("ann", as_of_us=tiny.NOW_US, bundle=Chosen.CHALLENGER)

    answer = asyncio.run(world.answering.recommend(query))

    assert answer.versions.bundle == "1"
    assert answer.degraded == (Degradation.CHALLENGER_UNAVAILABLE,)
