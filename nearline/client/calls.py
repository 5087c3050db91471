"""Every call of the client, as a program: what it sends, and what it makes of the answer."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

from nearline.client import messages
from nearline.client.errors import Message, StillStale, Unavailable
from nearline.client.exchange import Exchange, Sleep
from nearline.client.messages import Item
from nearline.client.questions import question, scores_question, several
from nearline.client.steps import Program
from nearline.clock import Clock, utc
from nearline.contracts.answer import (
    DEFAULT_WAIT_MS,
    MAX_WAIT_MS,
    Chosen,
    ChurnAnswer,
    Recommendation,
    RecommendQuery,
    Scene,
    ScoresAnswer,
    ScoresBatchAnswer,
    TagsAnswer,
)
from nearline.contracts.position import LogPosition
from nearline.contracts.verdict import Verdict

_POLL_FIRST_S, _POLL_LONGEST_S = 0.005, 0.05
T = TypeVar("T")
_WAIT_SHARE = 0.8  # Of what is left, for the server to wait; the rest is for the way.


@dataclass(frozen=True, slots=True)
class Put:
    """A step: queue one message, see `Outbox.put`."""

    encoded: bytes


@dataclass(frozen=True, slots=True)
class Flush:
    """A step: see `Outbox.flush`."""

    timeout_s: float


class Calls:
    """What an app may ask for. `consent` is claimed for events unless a call says otherwise."""

    def __init__(
        self,
        exchange: Exchange,
        clock: Clock,
        consent: Mapping[str, bool] | None,
        read_timeout_s: float,
    ) -> None:
        self._exchange, self._clock = exchange, clock
        self._consent = messages.checked_consent(consent)
        self._read_timeout_s = read_timeout_s

    # -- events ---------------------------------------------------------------------------

    def track(
        self,
        customer_id: str,
        event: str,
        properties: Mapping[str, Any] | None = None,
        items: Sequence[Item] | None = None,
        *,
        message_id: str | None = None,
        at: datetime | None = None,
        consent: Mapping[str, bool] | None = None,
    ) -> Program[str]:
        """Queue one event; return its message id.

        `items` are GA4's: `{"item_id": ..., "price": ..., "item_category": ..., "quantity": ...}`.
        Raises QueueFull, EventTooLarge, or Undelivered once sending has stopped for good.
        """
        return self._put(
            self._track(
                customer_id, event, properties, items, message_id=message_id, at=at, consent=consent
            )
        )

    def view(
        self,
        customer_id: str,
        item_id: str,
        *,
        price: float | None = None,
        category: str | None = None,
        at: datetime | None = None,
    ) -> Program[str]:
        """Queue a look at one item."""
        line = messages.item_line(item_id, price=price, category=category)
        return self.track(customer_id, "view_item", items=[line], at=at)

    def add_to_cart(
        self,
        customer_id: str,
        item_id: str,
        *,
        price: float | None = None,
        category: str | None = None,
        quantity: int = 1,
        at: datetime | None = None,
    ) -> Program[str]:
        """Queue an item put into the cart."""
        line = messages.item_line(item_id, price=price, category=category, quantity=quantity)
        return self.track(customer_id, "add_to_cart", items=[line], at=at)

    def purchase(
        self,
        customer_id: str,
        items: Sequence[Item],
        *,
        order_id: str | None = None,
        value: float | None = None,
        currency: str | None = None,
        at: datetime | None = None,
    ) -> Program[str]:
        """Queue a paid order; `value` defaults to the sum of the items where all have a price."""
        properties = messages.purchase_properties(items, order_id, value, currency)
        return self.track(customer_id, "purchase", properties, items, at=at)

    def identify(
        self,
        customer_id: str,
        traits: Mapping[str, Any] | None = None,
        *,
        anonymous_id: str | None = None,
        consent: Mapping[str, bool] | None = None,
    ) -> Program[str]:
        """Queue who a customer is; `flush` returns its verdict, with its position."""
        return self._put(
            messages.identify(
                customer_id,
                message_id=uuid.uuid4().hex,
                at=utc(self._clock.now_us()),
                consent=self._consent if consent is None else consent,
                traits=traits,
                anonymous_id=anonymous_id,
            )
        )

    def page(
        self,
        customer_id: str,
        name: str = "",
        properties: Mapping[str, Any] | None = None,
        *,
        consent: Mapping[str, bool] | None = None,
    ) -> Program[str]:
        """Queue a look at a page, by its name in the shop, such as "Home"."""
        return self._put(
            messages.page(
                customer_id,
                message_id=uuid.uuid4().hex,
                at=utc(self._clock.now_us()),
                consent=self._consent if consent is None else consent,
                name=name,
                properties=properties,
            )
        )

    def resend(self, left: Iterable[Message]) -> Program[None]:
        """Queue messages that an earlier client could not deliver (`Undelivered.messages`)."""
        for message in left:
            yield from self._put(message)

    def flush(self, timeout_s: float = 10.0) -> Program[list[Verdict]]:
        """Wait until all queued events have a verdict; return those since the last flush, in order.

        Raises FlushTimeout (sending goes on) or Undelivered (it does not).
        """
        verdicts: list[Verdict] = yield Flush(timeout_s)
        return verdicts

    def send_now(
        self,
        customer_id: str,
        event: str,
        properties: Mapping[str, Any] | None = None,
        items: Sequence[Item] | None = None,
        *,
        item_id: str | None = None,
        category: str | None = None,
        price_cents: int | None = None,
        message_id: str | None = None,
        at: datetime | None = None,
        consent: Mapping[str, bool] | None = None,
        timeout_s: float = 5.0,
    ) -> Program[Verdict]:
        """Send one event past the queue and return its verdict; `position` is the log token.

        `item_id`, `category` and `price_cents` name one item as answers name it; `items` are
        GA4's. Raises Unavailable when no answer came within `timeout_s`, Refused when none will.
        """
        if item_id is not None:
            price = None if price_cents is None else price_cents / 100
            items = [*(items or ()), messages.item_line(item_id, price=price, category=category)]
        message = self._track(
            customer_id, event, properties, items, message_id=message_id, at=at, consent=consent
        )
        self._exchange.check_write_key()
        verdicts = yield from self._exchange.deliver([messages.encode(message)], timeout_s)
        return verdicts[0]

    # -- answers --------------------------------------------------------------------------

    def recommend(
        self,
        customer_id: str,
        scene: str = Scene.HOME,
        k: int | None = None,
        *,
        exclude_item_ids: Sequence[str] = (),
        item_ids: Sequence[str] = (),
        category: str = "",
        channel: str = "",
        age_years: int | None = None,
        personalized: bool = True,
        explain: bool = False,
        min_position: LogPosition | str | None = None,
        max_wait_ms: int = DEFAULT_WAIT_MS,
        bundle: Chosen | None = None,
        as_of_us: int | None = None,
        timeout_s: float | None = None,
    ) -> Program[Recommendation]:
        """The best items for a customer; what may be asked stands at `RecommendQuery`.

        `timeout_s` is the end of everything: connecting, attempts, pauses between them, and a
        wait for `min_position`. Raises Refused, Unavailable or AnswerUnreadable.
        """
        query = RecommendQuery(
            customer_id=customer_id,
            scene=scene,
            k=k,
            exclude_item_ids=several("exclude_item_ids", exclude_item_ids),
            as_of_us=as_of_us,
            bundle=bundle,
            item_ids=several("item_ids", item_ids),
            category=category,
            channel=channel,
            age_years=age_years,
            personalized=personalized,
            explain=explain,
            min_position=str(min_position or ""),
            max_wait_ms=max_wait_ms,
        )
        return self._ask("POST", "/v1/recommend", Recommendation, timeout_s, question(query))

    def churn(self, customer_id: str, *, timeout_s: float | None = None) -> Program[ChurnAnswer]:
        """How likely the customer is to stay away, with reasons."""
        return self._ask("GET", f"/v1/churn/{quote(customer_id, safe='')}", ChurnAnswer, timeout_s)

    def scores(
        self,
        customer_id: str,
        *,
        tasks: Sequence[str] = (),
        categories: Sequence[str] = (),
        reasons: bool = True,
        as_of_us: int | None = None,
        timeout_s: float | None = None,
    ) -> Program[ScoresAnswer]:
        """What a customer will likely do, why, and what that is worth; see `ScoresQuery`."""
        asked = scores_question(tasks, categories, reasons, as_of_us)
        path = f"/v1/scores/{quote(customer_id, safe='')}"
        path += f"?{urlencode(asked, doseq=True)}" if asked else ""
        return self._ask("GET", path, ScoresAnswer, timeout_s)

    def scores_batch(
        self,
        customer_ids: Sequence[str],
        *,
        tasks: Sequence[str] = (),
        categories: Sequence[str] = (),
        reasons: bool = True,
        as_of_us: int | None = None,
        timeout_s: float = 30.0,
    ) -> Program[tuple[ScoresAnswer, ...]]:
        """The same of 1 to 200 customers at once, in their order.

        It gives way to recommendations, so it takes its time: hence the longer `timeout_s`.
        """
        body: dict[str, Any] = {"customer_ids": several("customer_ids", customer_ids)}
        body |= scores_question(tasks, categories, reasons, as_of_us)
        answer = yield from self._ask("POST", "/v1/scores", ScoresBatchAnswer, timeout_s, body)
        return answer.answers

    def tags(self, customer_id: str, *, timeout_s: float | None = None) -> Program[TagsAnswer]:
        """The real-time tags that hold for the customer now."""
        return self._ask("GET", f"/v1/tags/{quote(customer_id, safe='')}", TagsAnswer, timeout_s)

    def await_position(
        self,
        customer_id: str,
        token: LogPosition | str,
        timeout_s: float = 3.0,
        *,
        scene: str = Scene.HOME,
        k: int | None = None,
    ) -> Program[Recommendation]:
        """Ask until the answer has seen the event at `token`; return that answer.

        The server waits for the event (`min_position`), so that mostly one question is enough.
        Raises StillStale after `timeout_s`, ValueError for what is not a log position.
        """
        wanted = token if isinstance(token, LogPosition) else LogPosition.parse(token)
        monotonic = self._exchange.monotonic
        started, pause_s, seen = monotonic(), _POLL_FIRST_S, None
        while True:
            left_s = timeout_s - (monotonic() - started)
            try:
                answer = yield from self.recommend(
                    customer_id,
                    scene,
                    k,
                    min_position=wanted,
                    max_wait_ms=int(min(MAX_WAIT_MS, left_s * _WAIT_SHARE * 1_000)),
                    timeout_s=left_s,
                )
            except Unavailable as error:
                if seen is None:
                    raise
                raise StillStale(wanted, seen, monotonic() - started) from error
            seen = answer.receipt.log_position
            if covers(seen, wanted):
                return answer
            waited_s = monotonic() - started
            if waited_s + pause_s >= timeout_s:
                raise StillStale(wanted, seen, waited_s)
            yield Sleep(pause_s)
            pause_s = min(_POLL_LONGEST_S, pause_s * 1.5)

    def _put(self, message: Message) -> Program[str]:
        self._exchange.check_write_key()
        yield Put(messages.encode(message))
        return str(message["messageId"])

    def _ask(
        self,
        method: str,
        path: str,
        type_: type[T],
        timeout_s: float | None,
        body: Mapping[str, Any] | None = None,
    ) -> Program[T]:
        limit_s = self._read_timeout_s if timeout_s is None else timeout_s
        return self._exchange.ask(method, path, body, type_, limit_s)

    def _track(
        self,
        customer_id: str,
        event: str,
        properties: Mapping[str, Any] | None,
        items: Sequence[Item] | None,
        *,
        message_id: str | None,
        at: datetime | None,
        consent: Mapping[str, bool] | None,
    ) -> Message:
        return messages.track(
            customer_id,
            event,
            message_id=message_id or uuid.uuid4().hex,
            at=at or utc(self._clock.now_us()),
            consent=self._consent if consent is None else consent,
            properties=properties,
            items=items,
        )


def covers(seen: str, wanted: LogPosition) -> bool:
    """Whether a receipt's `log_position` (empty for a stranger) has reached a position."""
    if not seen:
        return False
    position = LogPosition.parse(seen)
    return position.partition == wanted.partition and position >= wanted
