"""What is measured on the running system: one event, or one question, at a time.

All of it goes through the front doors: HTTP to the collector, HTTP or gRPC to the API.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import httpx

from nearline.client import Client
from nearline.client.calls import covers
from nearline.contracts.answer import Receipt, RecommendedItem
from nearline.contracts.position import LogPosition
from nearline.errors import PermanentError, TransientError

GIVE_UP_S = 5.0
LIST_LENGTH = 10


@dataclass(frozen=True, slots=True)
class Trial:
    """One event on its way to an answer. `ms` is None where it did not arrive in GIVE_UP_S."""

    accepted_ms: float  # the collector's answer, which means: on disk
    ms: float | None  # from sending to holding the answer whose receipt covers it
    asked: int  # questions until then
    changed: bool  # the list differs from the one before the event


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

    def item(self, not_among: Sequence[str] = ()) -> RecommendedItem:
        """Some item, if possible one that is not in the given list."""
        others = [item for item in self._items if item.item_id not in set(not_among)]
        return self._rng.choice(others or self._items)


def to_recommendation(client: Client, players: Players, number: int) -> Trial:
    """Send one click; ask for recommendations until the receipt covers it."""
    customer_id = players.customer(number)
    before = [item.item_id for item in client.recommend(customer_id, k=LIST_LENGTH).items]
    shown: list[str] = []

    def ask() -> Receipt:
        answer = client.recommend(customer_id, k=LIST_LENGTH)
        shown[:] = [item.item_id for item in answer.items]
        return answer.receipt

    trial = _follow(client, customer_id, players.item(before), ask)
    return Trial(trial.accepted_ms, trial.ms, trial.asked, changed=shown != before)


def to_tag(client: Client, players: Players, number: int) -> Trial:
    """Send one click; ask for tags until the receipt covers it."""
    customer_id = players.customer(number)
    return _follow(client, customer_id, players.item(), lambda: client.tags(customer_id).receipt)


def _follow(
    client: Client, customer_id: str, item: RecommendedItem, ask: Callable[[], Receipt]
) -> Trial:
    started = time.perf_counter()
    wanted = _click(client, customer_id, item)
    accepted_ms = (time.perf_counter() - started) * 1_000
    asked = 0
    while (elapsed_s := time.perf_counter() - started) < GIVE_UP_S:
        asked += 1
        if covers(ask().log_position, wanted):
            elapsed_s = time.perf_counter() - started
            return Trial(accepted_ms, elapsed_s * 1_000, asked, changed=False)
    return Trial(accepted_ms, None, asked, changed=False)


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
        messages = [self._message(number * self.events + place) for place in range(self.events)]
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

    def _message(self, number: int) -> dict[str, Any]:
        item = self._players.item()
        line: dict[str, Any] = {"item_id": item.item_id, "price": item.price_cents / 100}
        if item.category:
            line["item_category"] = item.category
        consent = {"categoryPreferences": {"analytics": True, "personalization": True}}
        return {
            "type": "track",
            "event": "add_to_cart" if number % 10 == 9 else "view_item",
            "userId": self._players.customer(number),
            "messageId": f"bench-{time.time_ns()}-{number}",
            "properties": {"items": [line]},
            "context": {"consent": consent},
        }
