"""What an app uses: events in the background, answers when asked for."""

from __future__ import annotations

import atexit
import logging
import random
import time
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from nearline.client import messages
from nearline.client.errors import Message, StillStale, Undelivered
from nearline.client.messages import Item
from nearline.client.retry import Backoff
from nearline.client.sender import Sender, SenderLimits
from nearline.client.transport import Transport
from nearline.clock import Clock, SystemClock, utc
from nearline.contracts.answer import ChurnAnswer, Recommendation, Scene, TagsAnswer
from nearline.contracts.position import LogPosition
from nearline.contracts.verdict import Outcome, Verdict

_log = logging.getLogger(__name__)
_POLL_FIRST_S, _POLL_LONGEST_S = 0.005, 0.05
_EXIT_WAIT_S = 5.0


class Client:
    """Sends events and asks for answers. Thread-safe; use it as a context manager.

    `consent` is what the app's customers allowed, such as {"analytics": True,
    "personalization": True}, unless a call says otherwise. Left out, nothing is claimed: the
    collector then refuses events unless the write key's policy assumes consent. Events that
    cannot be sent now are kept, up to `limits.max_queued`, and sent again with the same message
    ids, so that a retry never counts twice.
    """

    def __init__(
        self,
        collector_url: str,
        api_url: str,
        write_key: str,
        consent: Mapping[str, bool] | None = None,
        *,
        read_timeout_s: float = 2.0,
        limits: SenderLimits | None = None,
        backoff: Backoff | None = None,
        on_refused: Callable[[Verdict], None] | None = None,
        clock: Clock | None = None,
        rng: random.Random | None = None,
    ) -> None:
        self._consent = None if consent is None else dict(consent)
        self._read_timeout_s = read_timeout_s
        self._clock = clock or SystemClock()
        self._rng = rng or random.Random()  # noqa: S311 - jitter, no secret
        self._backoff = backoff or Backoff()
        self._transport = Transport(
            collector_url,
            api_url,
            write_key,
            clock=self._clock,
            rng=self._rng,
            backoff=self._backoff,
        )
        self._sender = Sender(
            self._transport.post_batch,
            limits=limits or SenderLimits(),
            backoff=self._backoff,
            rng=self._rng,
            on_refused=on_refused,
        )
        self._closed = False
        atexit.register(self._close_at_exit)

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
    ) -> str:
        """Queue one event; return its message id.

        `items` are GA4's: `{"item_id": ..., "price": ..., "item_category": ..., "quantity": ...}`.
        Raises QueueFull, EventTooLarge, or Undelivered once sending has stopped for good.
        """
        message = self._track(
            customer_id, event, properties, items, message_id=message_id, at=at, consent=consent
        )
        return self._put(message)

    def view(
        self,
        customer_id: str,
        item_id: str,
        *,
        price: float | None = None,
        category: str | None = None,
        at: datetime | None = None,
    ) -> str:
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
    ) -> str:
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
    ) -> str:
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
    ) -> str:
        """Queue who a customer is."""
        message = messages.identify(
            customer_id,
            message_id=uuid.uuid4().hex,
            at=utc(self._clock.now_us()),
            consent=self._consent if consent is None else consent,
            traits=traits,
            anonymous_id=anonymous_id,
        )
        return self._put(message)

    def resend(self, left: Iterable[Message]) -> None:
        """Queue messages that an earlier client could not deliver (`Undelivered.messages`)."""
        for message in left:
            self._put(message)

    def flush(self, timeout_s: float = 10.0) -> list[Verdict]:
        """Wait until all queued events have a verdict; return those since the last flush.

        Raises FlushTimeout (sending goes on) or Undelivered (it does not).
        """
        return self._sender.flush(timeout_s)

    @property
    def counts(self) -> dict[Outcome, int]:
        """How many queued events had each outcome so far."""
        return self._sender.counts

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
    ) -> Verdict:
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
        return self._transport.deliver([messages.encode(message)], timeout_s)[0]

    # -- answers --------------------------------------------------------------------------

    def recommend(
        self,
        customer_id: str,
        scene: str = Scene.HOME,
        k: int = 10,
        *,
        exclude_item_ids: Sequence[str] = (),
        as_of_us: int | None = None,
        timeout_s: float | None = None,
    ) -> Recommendation:
        """The k best items for a customer. Raises Refused, Unavailable or AnswerUnreadable."""
        body: dict[str, Any] = {"customer_id": customer_id, "scene": scene, "k": k}
        if exclude_item_ids:
            body["exclude_item_ids"] = list(exclude_item_ids)
        if as_of_us is not None:
            body["as_of_us"] = as_of_us
        limit_s = timeout_s or self._read_timeout_s
        return self._transport.ask("POST", "/v1/recommend", body, Recommendation, limit_s)

    def churn(self, customer_id: str, *, timeout_s: float | None = None) -> ChurnAnswer:
        """How likely the customer is to stay away, with reasons."""
        limit_s = timeout_s or self._read_timeout_s
        return self._transport.ask(
            "GET", f"/v1/churn/{quote(customer_id, safe='')}", None, ChurnAnswer, limit_s
        )

    def tags(self, customer_id: str, *, timeout_s: float | None = None) -> TagsAnswer:
        """The real-time tags that hold for the customer now."""
        limit_s = timeout_s or self._read_timeout_s
        return self._transport.ask(
            "GET", f"/v1/tags/{quote(customer_id, safe='')}", None, TagsAnswer, limit_s
        )

    def await_position(
        self,
        customer_id: str,
        token: LogPosition | str,
        timeout_s: float = 3.0,
        *,
        scene: str = Scene.HOME,
        k: int = 10,
    ) -> Recommendation:
        """Ask until the answer has seen the event at `token`; return that answer.

        Raises StillStale after `timeout_s`, ValueError for what is not a log position.
        """
        wanted = token if isinstance(token, LogPosition) else LogPosition.parse(token)
        started, pause_s = time.monotonic(), _POLL_FIRST_S
        while True:
            answer = self.recommend(customer_id, scene, k)
            if covers(answer.receipt.log_position, wanted):
                return answer
            waited_s = time.monotonic() - started
            if waited_s + pause_s >= timeout_s:
                raise StillStale(wanted, answer.receipt.log_position, waited_s)
            time.sleep(pause_s)
            pause_s = min(_POLL_LONGEST_S, pause_s * 1.5)

    # -- life -----------------------------------------------------------------------------

    def close(self, timeout_s: float = 10.0) -> None:
        """Send what is queued and hang up; raises Undelivered with what could not be sent."""
        if self._closed:
            return
        self._closed = True
        atexit.unregister(self._close_at_exit)
        try:
            self._sender.close(timeout_s)
        finally:
            self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.close()
        except Undelivered as undelivered:
            if error is None:
                raise
            error.add_note(str(undelivered))  # The first error is the one to see.

    def _close_at_exit(self) -> None:
        try:
            self.close(_EXIT_WAIT_S)
        except Undelivered as undelivered:
            _log.error("%s Call close() before the program ends.", undelivered)

    def _put(self, message: Message) -> str:
        self._sender.put(messages.encode(message))
        return str(message["messageId"])

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
