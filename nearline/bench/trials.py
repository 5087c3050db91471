"""What is measured on the running system: one event, or one question, at a time.

All of it goes through the front doors: HTTP to the collector, HTTP or gRPC to the API.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import dataclass

import httpx

from nearline.bench.looks import look_message
from nearline.client import Client, StillStale
from nearline.client.calls import covers
from nearline.contracts.answer import RecommendedItem
from nearline.contracts.position import LogPosition
from nearline.errors import PermanentError, TransientError

GIVE_UP_S = 5.0
LIST_LENGTH = 10


@dataclass(frozen=True, slots=True)
class Trial:
    """One event on its way to an answer. `ms` is None where it did not arrive in GIVE_UP_S."""

    ms: float | None  # from sending to holding the answer whose receipt covers it
    changed: bool = False  # the list differs from the one before the event


class Players:
    """Customers of the bench's own, and the items that they look at; seeded."""

    def __init__(self, seed: int, customers: int, items: Sequence[RecommendedItem]) -> None:
        if not items:
            raise PermanentError(
                "the running system recommends nothing to a stranger, so there is nothing to "
                "click on: is there a bundle? `nearline doctor` tells."
            )
        self._rng = random.Random(seed)  # noqa: S311 - a repeatable choice
        self.customers = [f"bench-{seed}-{number}" for number in range(customers)]
        self._items = list(items)

    def customer(self, number: int) -> str:
        return self.customers[number % len(self.customers)]

    @property
    def items(self) -> list[RecommendedItem]:
        return list(self._items)

    def item(self, not_among: Sequence[str] = ()) -> RecommendedItem:
        """Some item, if possible one that is not in the given list."""
        others = [item for item in self._items if item.item_id not in set(not_among)]
        return self._rng.choice(others or self._items)


def to_recommendation(client: Client, players: Players, number: int) -> Trial:
    """Send one click; ask for the recommendation that has seen it, by its log position."""
    customer_id = players.customer(number)
    before = [item.item_id for item in client.recommend(customer_id, k=LIST_LENGTH).items]
    item, started = players.item(before), time.perf_counter()
    try:
        answer = client.await_position(
            customer_id, _click(client, customer_id, item), GIVE_UP_S, k=LIST_LENGTH
        )
    except StillStale:
        return Trial(None)
    elapsed_ms = (time.perf_counter() - started) * 1_000
    return Trial(elapsed_ms, [item.item_id for item in answer.items] != before)


def to_tag(client: Client, players: Players, number: int) -> Trial:
    """Send one click; ask for tags until the receipt covers it."""
    customer_id = players.customer(number)
    started = time.perf_counter()
    wanted = _click(client, customer_id, players.item())
    while time.perf_counter() - started < GIVE_UP_S:
        if covers(client.tags(customer_id).receipt.log_position, wanted):
            return Trial((time.perf_counter() - started) * 1_000)
    return Trial(None)


def accept(client: Client, players: Players, number: int) -> None:
    """Send one event and wait for its verdict."""
    _click(client, players.customer(number), players.item())


def _click(client: Client, customer_id: str, item: RecommendedItem) -> LogPosition:
    verdict = client.send_now(
        customer_id,
        "view_item",
        item_id=item.item_id,
        category=item.category or None,
        price_cents=item.price_cents or None,
    )
    if verdict.position is None:
        raise PermanentError(
            f"the collector did not accept an event of the bench ({verdict.outcome}, "
            f"{verdict.code}): {verdict.hint}"
        )
    return verdict.position


class Ingest:
    """Whole batches straight to the collector, without the client's queue."""

    def __init__(self, collector_url: str, write_key: str, players: Players, events: int) -> None:
        self._http = httpx.Client(
            base_url=collector_url, auth=(write_key, ""), timeout=30.0, trust_env=False
        )
        self._players, self.events = players, events
        self.newest: dict[str, str] = {}  # customer -> token of the newest event sent

    def batch(self, number: int) -> None:
        """Send one batch of looks; every event must be accepted."""
        first = number * self.events
        messages = [
            look_message(self._players.customer(place), self._players.item(), place)
            for place in range(first, first + self.events)
        ]
        answer = self._http.post("/v1/batch", json={"batch": messages})
        answer.raise_for_status()
        for message, verdict in zip(messages, answer.json()["verdicts"], strict=True):
            if verdict["outcome"] != "accepted":
                raise PermanentError(
                    f"the collector did not accept an event of the bench: {verdict['outcome']}, "
                    f"{verdict.get('code')}: {verdict.get('hint')}"
                )
            self.newest[message["userId"]] = verdict["position"]

    def await_visible(self, client: Client, timeout_s: float) -> None:
        """Wait until the answers have seen everything that was sent."""
        deadline = time.monotonic() + timeout_s
        for customer_id, token in self.newest.items():
            wanted = LogPosition.parse(token)
            while not covers(client.tags(customer_id).receipt.log_position, wanted):
                if time.monotonic() > deadline:
                    raise TransientError(
                        f"the stream worker did not follow within {timeout_s:.0f} s: is it "
                        "running? `nearline doctor` tells."
                    )
                time.sleep(0.01)

    def close(self) -> None:
        self._http.close()
