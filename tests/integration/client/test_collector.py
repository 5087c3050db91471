"""The client against the real collector: what it sends is what lies on the log."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

import pytest
import redis
import redis.asyncio

from nearline.client import Client, Undelivered
from nearline.contracts.event import Kind, Line
from nearline.contracts.position import LogPosition, partition_of
from nearline.contracts.verdict import Outcome, Verdict
from nearline.log import EventLog, scan_partition

pytestmark = pytest.mark.redis
PARTITIONS = 4


class RunningCollector(Protocol):
    """What the fixture gives."""

    @property
    def url(self) -> str: ...

    @property
    def write_key(self) -> str: ...


@pytest.fixture
def client_of(open_client: Callable[..., Client]) -> Callable[..., Client]:
    """Opens a client, of each kind in turn, for a collector."""

    def opened(
        collector: RunningCollector,
        *,
        write_key: str | None = None,
        on_refused: Callable[[Verdict], None] | None = None,
    ) -> Client:
        key = write_key or collector.write_key
        consent = {"analytics": True, "personalization": True}
        return open_client(collector.url, "http://127.0.0.1:1", key, consent, on_refused=on_refused)

    return opened


def test_the_clients_verbs_become_events_that_count(
    collector: RunningCollector, client_of: Callable[..., Client], valkey: redis.Redis
) -> None:
    with client_of(collector) as client:
        client.view("c-1", "i-1", price=19.99, category="shoes")
        client.add_to_cart("c-1", "i-1", price=19.99, quantity=2)
        client.purchase("c-1", [{"item_id": "i-1", "price": 19.99, "quantity": 2}], currency="EUR")
        client.identify("c-1", {"tier": "gold"})
        verdicts = client.flush()

    assert [verdict.outcome for verdict in verdicts] == [Outcome.ACCEPTED] * 4
    pages = scan_partition(valkey, partition_of("c-1", PARTITIONS))
    events = [entry.event for page in pages for entry in page]
    assert [event.kind for event in events] == [Kind.VIEW, Kind.CART, Kind.PURCHASE, None]
    assert events[0].lines == (Line("i-1", 1, 1_999, "shoes"),)
    assert (events[2].value_cents, events[2].currency) == (3_998, "EUR")
    assert all(event.personalizes for event in events)


def test_the_token_of_an_event_names_its_place_on_the_log(
    collector: RunningCollector, client_of: Callable[..., Client], valkey: redis.Redis
) -> None:
    with client_of(collector) as client:
        verdict = client.send_now("c-7", "view_item", item_id="i-1", price_cents=250)

    (page,) = scan_partition(valkey, partition_of("c-7", PARTITIONS))
    assert verdict.position == page[0].position
    assert isinstance(verdict.position, LogPosition)
    assert page[0].event.lines == (Line("i-1", 1, 250),)


def test_sending_a_message_twice_stores_it_once(
    collector: RunningCollector, client_of: Callable[..., Client]
) -> None:
    with client_of(collector) as client:
        first = client.send_now("c-1", "view_item", item_id="i-1", message_id="m-1")
        again = client.send_now("c-1", "view_item", item_id="i-1", message_id="m-1")

    assert (first.outcome, again.outcome) == (Outcome.ACCEPTED, Outcome.DUPLICATE)


def test_a_bad_event_is_told_and_the_others_of_its_batch_are_stored(
    collector: RunningCollector, client_of: Callable[..., Client]
) -> None:
    refused: list[str | None] = []
    with client_of(collector, on_refused=lambda verdict: refused.append(verdict.code)) as client:
        client.view("c-1", "i-1")
        client.track("c-1", "view_item")  # names no item
        client.track("c-2", "view_item", items=[{"item_id": "i"}], consent={"analytics": False})
        verdicts = client.flush()

    assert [verdict.outcome for verdict in verdicts] == [
        Outcome.ACCEPTED,
        Outcome.REJECTED,
        Outcome.CONSENT_REFUSED,
    ]
    assert refused == ["items_missing", "consent_denied"]


def test_an_unknown_write_key_hands_the_events_back(
    collector: RunningCollector, client_of: Callable[..., Client]
) -> None:
    client = client_of(collector, write_key="not-a-key")
    message_id = client.view("c-1", "i-1")

    with pytest.raises(Undelivered, match="Check the write key") as refused:
        client.close()
    assert [message["messageId"] for message in refused.value.messages] == [message_id]


def test_a_thousand_events_are_all_on_the_log_once(
    collector: RunningCollector, client_of: Callable[..., Client], valkey: redis.Redis
) -> None:
    with client_of(collector) as client:
        sent = [client.view(f"c-{number % 50}", f"i-{number}") for number in range(1_000)]
        verdicts = client.flush(60.0)

    assert [verdict.event_id for verdict in verdicts] == sent
    stored = [
        entry.event.event_id
        for partition in range(PARTITIONS)
        for page in scan_partition(valkey, partition)
        for entry in page
    ]
    assert sorted(stored) == sorted(sent)
    counts = asyncio.run(_counts(valkey))
    assert counts["received"] == counts["stored"] == 1_000


async def _counts(valkey: redis.Redis) -> dict[str, int]:
    port = valkey.connection_pool.connection_kwargs["port"]
    async with redis.asyncio.Redis(port=port) as client:
        return await EventLog(client, PARTITIONS).counts()
