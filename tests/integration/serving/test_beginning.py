"""A service that starts with nothing, until its first bundle comes.

These tests come first of those that share the service: what they say holds only once.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from nearline import keys

pytestmark = [pytest.mark.ray, pytest.mark.redis]

Until = Callable[..., None]


def test_with_nothing_there_it_still_answers_and_says_what_is_missing(service: Any) -> None:
    assert service.health()["bundle"] == "", "another test was first to use the service"

    answer = service.recommend("anybody")

    assert answer["items"] == []
    assert answer["degraded"] == ["bundle_unavailable", "nothing_to_recommend"]
    assert service.health()["status"] == "degraded"


def test_without_a_bundle_the_last_backfills_popular_items_answer(
    service: Any, shoppers: dict[str, set[str]]
) -> None:
    name, bought = next((name, bought) for name, bought in shoppers.items() if bought)
    popular = [*sorted(bought), "other"]
    service.redis.set(keys.FALLBACK_POPULAR, json.dumps([[one, "c", 100] for one in popular]))

    answer = service.recommend(name)

    assert [one["item_id"] for one in answer["items"]] == ["other"]
    assert answer["degraded"] == ["bundle_unavailable"]


def test_a_new_champion_is_picked_up_while_answering(service: Any, wait_until: Until) -> None:
    version = service.publish(1)

    wait_until(lambda: service.recommend("anybody")["versions"]["bundle"] == version)

    service.everywhere(lambda health: health["status"] == "ok")
    assert service.recommend("anybody")["degraded"] == []
