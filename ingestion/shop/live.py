"""Customers of the simulated shop who are still there, shopping against the running system.

`Crowd` decides who does what next; `Services` talks to collector and API; `shop_live` keeps
the rate.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Self

import msgspec
import numpy as np

from ingestion.connectors.wire import message_of
from ingestion.shop.life import event_of, season_K
from ingestion.shop.listings import Listings, Storeroom
from ingestion.shop.truth import Truth
from ingestion.shop.visit import Act, Mind, Visit
from nearline.client import Client, QueueFull, Undelivered
from nearline.contracts.answer import Scene
from nearline.contracts.event import Event, Kind
from nearline.contracts.verdict import Outcome
from nearline.errors import NearlineError, PermanentError
from nearline.say import say
from nearline.stopping import StopFlag

_ASK_SHARE = 0.5  # of first looks; later looks ask less
_ASK_LATER_SHARE = 0.2
_LIST_ITEMS = 10
_SHOPPERS_PER_RATE = 3.0  # So many visits are in progress for one event a second.
_QUIET_S = (2.0, 30.0)  # First and longest pause in asking, after the API did not answer.
_CLOSE_S = 5.0


@dataclass(frozen=True, slots=True)
class Offer:
    """A list that the shop showed, best first."""

    item_ids: tuple[str, ...]
    response_id: str


Ask = Callable[[str, str], Offer | None]  # customer, and the item whose page it is, or ""


@dataclass(slots=True)
class Tally:
    """What came of it all. `clicks` are looks at an item of a list that was shown."""

    sent: int = 0
    dropped: int = 0
    asked: int = 0
    unanswered: int = 0
    clicks: int = 0
    outcomes: dict[Outcome, int] = field(default_factory=dict)

    @property
    def accepted(self) -> int:
        return self.outcomes.get(Outcome.ACCEPTED, 0)

    def text(self) -> str:
        parts = [
            say(f"{self.sent:,} sent", f"已发送 {self.sent:,}"),
            *(f"{count:,} {outcome}" for outcome, count in sorted(self.outcomes.items())),
            say(
                f"{self.asked:,} lists asked for, {self.clicks:,} clicked",
                f"请求推荐 {self.asked:,}，点击 {self.clicks:,}",
            ),
        ]
        if self.unanswered:
            parts.append(say(f"{self.unanswered:,} unanswered", f"未应答 {self.unanswered:,}"))
        if self.dropped:
            parts.append(say(f"{self.dropped:,} could not be sent", f"未能发送 {self.dropped:,}"))
        return ", ".join(parts)


@dataclass(slots=True, eq=False)
class _Shopper:
    customer: int
    visit: Visit
    acts: list[Act] = field(default_factory=list)
    page: str = ""  # Whose item's page it is; "" on the home page.
    offer: Offer | None = None
    clicked: bool = False
    left: bool = False


class Crowd:
    """The customers who have not left, the visits in progress, and the shop behind its counter.

    Equal seeds act equally.
    """

    def __init__(self, truth: Truth, seed: int, *, now_us: int) -> None:
        self._truth, self._world = truth, truth.world
        self._rng = np.random.default_rng(seed)
        there_C = ~truth.has_churned_C(now_us)
        if not there_C.any():
            raise PermanentError(
                "every customer of the simulated shop has left, so nobody can shop: make a larger "
                "or younger one with `nearline shop generate --replace`"
            )
        rates_C = np.where(there_C, self._world.customers.visits_per_day_C, 0.0)
        self._shares_C = rates_C / rates_C.sum()
        self._minds: dict[int, Mind] = {}
        self._shoppers: list[_Shopper] = []
        self._row_of = {item_id: row for row, item_id in enumerate(self._world.items.ids)}
        self.living = int(there_C.sum())
        items = self._world.items
        stated = Listings.of(truth.shop.seed, items, truth.shop.until_us)
        self._storeroom = Storeroom(seed, len(items.ids), stated.out_of_stock())

    def next_event(self, now_us: int, visits: int, ask: Ask, tally: Tally) -> Event:
        """What somebody does now, while about `visits` visits are in progress.

        Once in a hundred times it is the shop, which says that stock has changed.
        """
        if listing := self._storeroom.change():
            return event_of(self._world, None, listing, now_us, event_id="")
        while True:
            while len(self._shoppers) < min(visits, self.living):
                self._shoppers.append(self._enter(now_us))
            shopper = self._shoppers[int(self._rng.integers(len(self._shoppers)))]
            if not shopper.acts:
                self._go_on(shopper, ask, tally)
            if shopper.acts:
                return self._event(shopper, shopper.acts.pop(0), now_us, tally)
            if shopper.left:
                self._shoppers.remove(shopper)

    def _enter(self, now_us: int) -> _Shopper:
        here = {shopper.customer for shopper in self._shoppers}
        while True:
            customer = int(self._rng.choice(len(self._shares_C), p=self._shares_C))
            if customer not in here:
                break
        mind = self._minds.setdefault(
            customer, Mind(purchased=set(self._truth.purchased[customer]))
        )
        visit = Visit(
            self._world,
            customer,
            mind,
            self._rng,
            at_us=now_us,
            vigor=1.0,
            category_weight_K=season_K(now_us),
        )
        return _Shopper(customer, visit)

    def _go_on(self, shopper: _Shopper, ask: Ask, tally: Tally) -> None:
        if shopper.visit.looks_left <= 0:
            shopper.acts = shopper.visit.leave()
            shopper.left = True
            return
        first = shopper.visit.looked == 0
        shopper.offer = None
        if self._rng.random() < (_ASK_SHARE if first else _ASK_LATER_SHARE):
            tally.asked += 1
            shopper.offer = ask(self._world.customers.ids[shopper.customer], shopper.page)
        shown = self._rows(shopper.offer.item_ids) if shopper.offer else []
        shopper.acts = shopper.visit.look(shown)
        shopper.clicked = shopper.visit.took_offer

    def _rows(self, item_ids: Sequence[str]) -> list[int]:
        return [self._row_of[item_id] for item_id in item_ids if item_id in self._row_of]

    def _event(self, shopper: _Shopper, act: Act, now_us: int, tally: Tally) -> Event:
        event = event_of(self._world, shopper.customer, act, now_us, event_id="")
        if act.kind is Kind.VIEW:
            shopper.page = event.lines[0].item_id
        if act.kind is Kind.VIEW and shopper.clicked and shopper.offer:
            tally.clicks += 1
            event = msgspec.structs.replace(event, response_id=shopper.offer.response_id)
        return event


class Services:
    """Collector and API as the crowd meets them: what fails is counted and tried later."""

    def __init__(self, collector_url: str, api_url: str, write_key: str, seed: int) -> None:
        self._client = Client(collector_url, api_url, write_key, on_refused=lambda verdict: None)
        self._run, self._number = f"live-{seed}-{time.time_ns() // 1_000_000}", 0
        self._quiet_s, self._quiet_until = 0.0, 0.0

    def send(self, event: Event, tally: Tally) -> None:
        """Queue an event; raises Undelivered when the collector will take nothing from us."""
        self._number += 1
        message = message_of(
            event, message_id=f"{self._run}-{self._number}", at_us=event.occurred_at_us
        )
        try:
            self._client.resend([message])
            tally.sent += 1
        except QueueFull:
            tally.dropped += 1

    def ask(self, customer_id: str, page: str, tally: Tally) -> Offer | None:
        """A list for a customer; None while the API does not answer."""
        if time.monotonic() < self._quiet_until:
            tally.unanswered += 1
            return None
        try:
            scene, about = (Scene.DETAIL, (page,)) if page else (Scene.HOME, ())
            answer = self._client.recommend(
                customer_id, scene, _LIST_ITEMS, item_ids=about, timeout_s=1.0
            )
        except NearlineError:
            tally.unanswered += 1
            self._quiet_s = min(_QUIET_S[1], max(_QUIET_S[0], 2 * self._quiet_s))
            self._quiet_until = time.monotonic() + self._quiet_s
            return None
        self._quiet_s = 0.0
        return Offer(tuple(item.item_id for item in answer.items), answer.response_id)

    def settle(self, tally: Tally) -> None:
        """Bring the tally up to date with the verdicts that have come."""
        tally.outcomes = self._client.counts

    def close(self, tally: Tally | None = None, limit_s: float = _CLOSE_S) -> None:
        try:
            self._client.close(limit_s)
        except Undelivered as left:
            if tally is not None:
                tally.dropped += len(left.messages)
        if tally is not None:
            self.settle(tally)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.close(limit_s=0.0 if kind is KeyboardInterrupt else _CLOSE_S)


def shop_live(
    crowd: Crowd,
    services: Services,
    *,
    rate: float,
    seconds: float | None,
    stopped: StopFlag,
    on_change: Callable[[Tally], None] = lambda tally: None,
) -> Tally:
    """Send `rate` events a second until `seconds` have passed or `stopped` is set.

    When asking for lists takes longer than the rate allows, what is due follows at once.
    """
    tally = Tally()
    visits = max(2, round(rate * _SHOPPERS_PER_RATE))
    started = time.monotonic()

    def ask(customer_id: str, page: str) -> Offer | None:
        return services.ask(customer_id, page, tally)

    while True:
        due_s = (tally.sent + tally.dropped) / rate
        if seconds is not None and due_s >= seconds:
            break
        if stopped.wait(max(0.0, started + due_s - time.monotonic())):
            break
        services.send(crowd.next_event(time.time_ns() // 1_000, visits, ask, tally), tally)
        services.settle(tally)
        on_change(tally)
    services.close(tally)
    return tally
