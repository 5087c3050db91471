"""What an app uses: events in the background, answers when asked for. To block on, or to await."""

from __future__ import annotations

import asyncio
import atexit
import functools
import inspect
import logging
import os
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar
from weakref import WeakSet

from nearline.client.calls import Calls, Flush, Put
from nearline.client.errors import Undelivered
from nearline.client.exchange import Attempt, Exchange, Sleep
from nearline.client.outbox import SenderLimits, Sending, log_refusal
from nearline.client.retry import Backoff
from nearline.client.sender import AsyncSender, Sender
from nearline.client.steps import Program, arun, run
from nearline.client.transport import AsyncTransport, Transport
from nearline.clock import Clock, SystemClock
from nearline.contracts.verdict import Outcome, Verdict

_log = logging.getLogger(__name__)
_EXIT_WAIT_S = 5.0
_opened: WeakSet[_Base] = WeakSet()
P = ParamSpec("P")
T = TypeVar("T")


class _Base:
    """What both clients have in common: how they are opened."""

    _transport: Transport | AsyncTransport

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
        """Open a client; nothing is sent yet.

        `consent` is what the app's customers allowed, such as {"analytics": True,
        "personalization": True}, unless a call says otherwise. Left out, nothing is claimed: the
        collector then refuses events unless the write key's policy assumes consent. Events that
        cannot be sent now are kept, up to `limits.max_queued`, and sent again with the same
        message ids, so that a retry never counts twice. `read_timeout_s` is the deadline of a
        question that names none. An empty `write_key` is enough for a client that only asks.
        """
        clock, backoff = clock or SystemClock(), backoff or Backoff()
        rng = rng or random.SystemRandom()  # Has no state that the children of a fork would share.
        self._exchange = Exchange(
            collector_url,
            api_url,
            write_key,
            clock=clock,
            rng=rng,
            backoff=backoff,
        )
        self._calls = Calls(self._exchange, clock, consent, read_timeout_s)
        self._sending = Sending(limits or SenderLimits(), backoff, rng, on_refused or log_refusal)
        self._open()
        self._transport.open()  # A wrong proxy or certificate is told here, not at the first call.
        self._closed = False
        atexit.register(self._at_exit)
        _opened.add(self)

    def _open(self) -> None:
        """Make what belongs to one process; no thread and no connection yet."""
        raise NotImplementedError

    def _forked(self) -> None:
        """Begin anew in the child of a fork: what was made before is the parent's."""
        raise NotImplementedError

    def _at_exit(self) -> None:
        raise NotImplementedError

    def _closes_now(self) -> bool:
        """Whether this is the first time that somebody closes."""
        first, self._closed = not self._closed, True
        atexit.unregister(self._at_exit)
        return first


def _blocking(
    program: Callable[Concatenate[Calls, P], Program[T]],
) -> Callable[Concatenate[Client, P], T]:
    @functools.wraps(program)
    def call(self: Client, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return run(program(self._calls, *args, **kwargs), self._perform)

    return _shown(call, program)


def _awaiting(
    program: Callable[Concatenate[Calls, P], Program[T]],
) -> Callable[Concatenate[AsyncClient, P], Awaitable[T]]:
    @functools.wraps(program)
    async def call(self: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await arun(program(self._calls, *args, **kwargs), self._perform)

    return _shown(call, program)


C = TypeVar("C", bound=Callable[..., Any])


def _shown(call: C, program: Callable[..., Any]) -> C:
    """The call as help() should show it: with what it returns, not with the program's type."""
    signature = inspect.signature(program)
    result = str(signature.return_annotation).removeprefix("Program[").removesuffix("]")
    call.__signature__ = signature.replace(return_annotation=result)  # type: ignore[attr-defined]
    return call


class Client(_Base):
    """Sends events and asks for answers. Thread-safe; use it as a context manager.

    Opened before a fork, it works in the child as well, with connections and a queue of its own.
    """

    _transport: Transport

    track = _blocking(Calls.track)
    view = _blocking(Calls.view)
    add_to_cart = _blocking(Calls.add_to_cart)
    purchase = _blocking(Calls.purchase)
    identify = _blocking(Calls.identify)
    page = _blocking(Calls.page)
    resend = _blocking(Calls.resend)
    flush = _blocking(Calls.flush)
    send_now = _blocking(Calls.send_now)

    recommend = _blocking(Calls.recommend)
    churn = _blocking(Calls.churn)
    scores = _blocking(Calls.scores)
    scores_batch = _blocking(Calls.scores_batch)
    tags = _blocking(Calls.tags)
    await_position = _blocking(Calls.await_position)

    @property
    def counts(self) -> dict[Outcome, int]:
        """How many queued events had each outcome so far."""
        return self._sender.counts

    def close(self, timeout_s: float = 10.0) -> None:
        """Send what is queued and hang up; raises Undelivered with what could not be sent."""
        first = self._closes_now()
        try:
            self._sender.close(timeout_s)  # Also a handler's that interrupted another's wait.
        finally:
            if first:
                self._hang_up()

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
            _raise_unless(error, undelivered)

    def _open(self) -> None:
        # Two pools: a handler that closes may have interrupted a question in the lock of its pool,
        # and what is queued is sent all the same.
        self._transport, self._posts = Transport(self._exchange), Transport(self._exchange)
        self._sender = Sender(self._posts.post_batch, self._sending)

    def _hang_up(self) -> None:
        self._transport.close()
        self._posts.close()

    def _forked(self) -> None:
        asks, posts = self._transport, self._posts
        self._open()
        if self._closed:
            self._hang_up()
            self._sender.close(0.0)
        # The child's handles of the parent's connections; the parent's own stay as they are.
        asks.close()
        posts.close()

    def _at_exit(self) -> None:
        try:
            self.close(_EXIT_WAIT_S)
        except Undelivered as undelivered:
            _log.error("%s Call close() before the program ends.", undelivered)

    def _perform(self, step: Any) -> Any:
        match step:
            case Attempt():
                return self._transport.attempt(step)
            case Sleep(delay_s):
                return time.sleep(delay_s)
            case Put(encoded):
                return self._sender.put(encoded)
            case Flush(timeout_s):
                return self._sender.flush(timeout_s)


class AsyncClient(_Base):
    """The same calls, to be awaited, in one event loop; use it with `async with`.

    Queued events are sent by a task of that loop, so close the client before the loop ends.
    Opened before a fork, it works in the child as well, in an event loop that the child starts.
    """

    _transport: AsyncTransport
    _parents: tuple[object, ...] = ()

    track = _awaiting(Calls.track)
    view = _awaiting(Calls.view)
    add_to_cart = _awaiting(Calls.add_to_cart)
    purchase = _awaiting(Calls.purchase)
    identify = _awaiting(Calls.identify)
    page = _awaiting(Calls.page)
    resend = _awaiting(Calls.resend)
    flush = _awaiting(Calls.flush)
    send_now = _awaiting(Calls.send_now)

    recommend = _awaiting(Calls.recommend)
    churn = _awaiting(Calls.churn)
    scores = _awaiting(Calls.scores)
    scores_batch = _awaiting(Calls.scores_batch)
    tags = _awaiting(Calls.tags)
    await_position = _awaiting(Calls.await_position)

    @property
    def counts(self) -> dict[Outcome, int]:
        """How many queued events had each outcome so far."""
        return self._sender.counts

    async def close(self, timeout_s: float = 10.0) -> None:
        """Send what is queued and hang up; raises Undelivered with what could not be sent."""
        if not self._closes_now():
            return
        try:
            await self._sender.close(timeout_s)
        finally:
            await self._transport.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            await self.close()
        except Undelivered as undelivered:
            _raise_unless(error, undelivered)

    def _open(self) -> None:
        self._transport = AsyncTransport(self._exchange)
        self._sender = AsyncSender(self._transport.post_batch, self._sending)

    def _forked(self) -> None:
        if not self._closed:
            # Kept, since to close or to collect them would speak to the parent's event loop.
            self._parents = (*self._parents, self._transport, self._sender)
            self._sender.disown()
            self._open()

    def _at_exit(self) -> None:
        if waiting := self._sender.waiting:
            _log.error("%d events were not sent. Await close() before the loop ends.", waiting)

    async def _perform(self, step: Any) -> Any:
        match step:
            case Attempt():
                return await self._transport.attempt(step)
            case Sleep(delay_s):
                return await asyncio.sleep(delay_s)
            case Put(encoded):
                return await self._sender.put(encoded)
            case Flush(timeout_s):
                return await self._sender.flush(timeout_s)


def _begin_anew() -> None:
    for client in list(_opened):
        client._forked()


if hasattr(os, "register_at_fork"):  # Not on Windows, where nothing forks.
    os.register_at_fork(after_in_child=_begin_anew)


def _raise_unless(error: BaseException | None, undelivered: Undelivered) -> None:
    """Raise what closing found, unless the block failed already: its error is the one to see."""
    if error is None:
        raise undelivered
    error.add_note(str(undelivered))
