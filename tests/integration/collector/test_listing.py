"""What a listing says of an item, against what a page's key may send: collector, log, worker."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import redis

from ingestion.collector.app import Parts
from nearline import write_keys
from nearline.feast_layout import ITEM_VIEW
from nearline.online import parse_item
from nearline.settings import Settings
from nearline.transforms.item import ItemState
from tests.integration.stream.parts import stream

pytestmark = pytest.mark.redis
GRANTED = {"consent": {"categoryPreferences": {"analytics": True, "personalization": True}}}


def says(name: str, category: str, price: float, item_id: str = "knife") -> dict[str, Any]:
    return {
        "type": "track",
        "event": name,
        "userId": "anybody",
        "properties": {"items": [{"item_id": item_id, "price": price, "item_category": category}]},
        "context": GRANTED,
        "timestamp": (datetime.now(UTC) - timedelta(minutes=1)).isoformat(),
    }


@pytest.fixture
def stored(
    valkey: redis.Redis, settings: Settings, tell: Callable[[Any], Any]
) -> Callable[..., ItemState]:
    """Sends (key's name, event) one after another, and reads the row that the worker makes."""

    def go(*sent: tuple[str, dict[str, Any]], item_id: str = "knife") -> ItemState:
        async def told(client: httpx.AsyncClient, parts: Parts) -> None:
            for name, event in sent:
                key = write_keys.key_named(settings.home, name)
                answer = await client.post("/v1/batch", json={"batch": [event]}, auth=(key, ""))
                assert [one["outcome"] for one in answer.json()["verdicts"]] == ["accepted"]

        tell(told)
        stream(valkey, settings.partitions)
        reply: Any = valkey.hmget(ITEM_VIEW.key(item_id), ITEM_VIEW.read_fields)  # type: ignore[arg-type]
        return parse_item(reply)

    return go


def test_an_event_of_a_page_moves_no_listed_item_to_another_category_or_price(
    stored: Callable[..., ItemState],
) -> None:
    state = stored(
        ("app", says("view_item", "gifts", 0.01)),
        ("server", says("item_listed", "weapons", 49.90)),
        ("app", says("view_item", "gifts", 0.01)),
        ("app", says("purchase", "flowers", 0.02)),
    )

    assert (state.views_total, state.purchases_total) == (2, 1)  # They count as ever.
    assert (state.category, state.price_cents) == ("weapons", 4_990)


def test_the_shop_itself_moves_it_by_listing_it_again(stored: Callable[..., ItemState]) -> None:
    state = stored(
        ("server", says("item_listed", "weapons", 49.90)),
        ("app", says("view_item", "gifts", 0.01)),
        ("server", says("item_listed", "kitchen", 39.90)),
    )

    assert (state.category, state.price_cents) == ("kitchen", 3_990)


def test_of_an_item_that_nobody_lists_the_newest_event_says_what_it_is(
    stored: Callable[..., ItemState],
) -> None:
    state = stored(
        ("app", says("view_item", "gifts", 5.00)), ("app", says("view_item", "flowers", 6.00))
    )

    assert (state.category, state.price_cents) == ("flowers", 600)
