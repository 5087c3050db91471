"""A bounded queue that is emptied in batches, losing nothing silently: the programs.

A message leaves the queue when its verdict is known, never before: whatever goes wrong, what
is left in the queue is what may not have arrived. All programs of one outbox are run by one
`sender`, so that between two steps nobody else touches it.
"""

from __future__ import annotations

import logging
import random
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from nearline.client.errors import FlushTimeout, Message, QueueFull, Refused, Undelivered
from nearline.client.exchange import Again, BodyRefused, Delivered, Reply, Stop
from nearline.client.messages import batch_body
from nearline.client.retry import Backoff
from nearline.client.steps import Program
from nearline.clock import utc
from nearline.contracts.verdict import Outcome, Verdict
from nearline.errors import PermanentError
from nearline.logs import where

_log = logging.getLogger(__name__)
_ENVELOPE_BYTES = len(batch_body([], utc(0))) + 16


@dataclass(frozen=True, slots=True)
class SenderLimits:
    """How much waits, and for how long."""

    max_queued: int = 10_000
    """Events that may wait; one more is refused with QueueFull."""
    full_wait_s: float = 1.0
    """How long a caller is held up when the queue is full, before QueueFull."""
    batch_events: int = 100
    batch_bytes: int = 480 * 1024
    """The collector takes 500 KB a batch."""
    linger_s: float = 0.05
    """How long the first event of a batch waits for company."""
    attempt_s: float = 10.0
    """Time for one attempt to deliver a batch."""


@dataclass(frozen=True, slots=True)
class Sending:
    """How an outbox is emptied. `on_refused` hears of each event that was not taken."""

    limits: SenderLimits
    backoff: Backoff
    rng: random.Random
    on_refused: Callable[[Verdict], None]


@dataclass(frozen=True, slots=True)
class Change:
    """A step: wait until something of the outbox changes, or the time is over (None: never)."""

    limit_s: float | None = None


@dataclass(frozen=True, slots=True)
class Post:
    """A step: one attempt to deliver a batch, outside; what came of it is a Reply."""

    batch: Sequence[bytes]
    limit_s: float


@dataclass(frozen=True, slots=True)
class Tell:
    """A step: call the app back, outside; see `tell`."""

    on_refused: Callable[[Verdict], None]
    refused: Sequence[Verdict]


class Outbox:
    """What waits to be sent, and what became of the rest.

    `notify` wakes all who wait in a `Change`; `monotonic` gives seconds.
    """

    def __init__(
        self, sending: Sending, monotonic: Callable[[], float], notify: Callable[[], None]
    ) -> None:
        self._sending, self._limits = sending, sending.limits
        self._monotonic, self._notify = monotonic, notify
        self._queue: deque[bytes] = deque()
        self._taken = self._done = 0
        self._verdicts: deque[Verdict] = deque(maxlen=self._limits.max_queued)
        self._counts: Counter[Outcome] = Counter()
        self._hurry = 0  # Flushes that wait: no lingering.
        self._closing = self._abandoned = self._ended = False
        self._cause: str | None = None  # Of the last failed attempt.
        self._stopped: PermanentError | None = None

    @property
    def counts(self) -> dict[Outcome, int]:
        """How many events had each outcome, since the start."""
        return dict(self._counts)

    @property
    def waiting(self) -> int:
        """How many events have no verdict yet."""
        return len(self._queue)

    def put(self, encoded: bytes) -> Program[None]:
        """Queue one message; raises QueueFull, or Undelivered once sending has stopped."""
        deadline = self._monotonic() + self._limits.full_wait_s
        while len(self._queue) >= self._limits.max_queued and not self._refusing():
            left_s = deadline - self._monotonic()
            if left_s <= 0:
                raise QueueFull(len(self._queue), self._limits.full_wait_s, self._cause)
            yield Change(left_s)
        if self._refusing():
            raise Undelivered([decoded(encoded)], self._why_over())
        self._queue.append(encoded)
        self._taken += 1
        self._notify()

    def flush(self, timeout_s: float) -> Program[list[Verdict]]:
        """Wait until all that was put before has a verdict; return those since the last flush.

        At most the newest `max_queued` verdicts are kept; refusals are told as well.
        Raises FlushTimeout, or Undelivered once sending has stopped.
        """
        deadline, target = self._monotonic() + timeout_s, self._taken
        self._hurry += 1
        self._notify()
        try:
            while self._done < target and not self._over():
                left_s = deadline - self._monotonic()
                if left_s <= 0:
                    waiting = target - self._done
                    raise FlushTimeout(waiting, timeout_s, self._collect(), self._cause)
                yield Change(left_s)
        finally:
            self._hurry -= 1
        if self._done < target:
            raise Undelivered(self._left(), self._why_over())
        return self._collect()

    def close(self, timeout_s: float) -> Program[None]:
        """Wait until what is left is sent; raises Undelivered with what was not.

        Where the wait is broken off (Ctrl-C, a cancelled task), `flush` raises it instead. Two at
        once, as in a signal handler, wait for the same; what is left goes to the first that ends.
        """
        if self._abandoned:
            return  # Closed long since.
        self._closing = True
        self._notify()
        deadline = self._monotonic() + timeout_s
        try:
            while not (self._ended or self._abandoned):
                if (left_s := deadline - self._monotonic()) <= 0:
                    break
                yield Change(left_s)
        except BaseException:
            if self._queue:
                _log.error(
                    "closing was interrupted: %d events were not delivered. "
                    "`flush` raises Undelivered, whose `messages` a new client may `resend`.",
                    len(self._queue),
                )
            raise
        finally:
            self._abandoned = True
            self._notify()
        if self._queue:
            left = self._left()
            self._queue.clear()
            raise Undelivered(left, self._why_over())

    def sending(self) -> Program[None]:
        """Send what is put, until the outbox is closed or sending cannot help."""
        largest, attempt = self._limits.batch_events, 0
        while batch := (yield from self._next_batch(largest)):
            reply: Reply = yield Post(batch, self._limits.attempt_s)
            match reply:
                case Delivered(verdicts):
                    yield from self._settle(verdicts)
                    largest, attempt = self._limits.batch_events, 0
                case Again(cause, asked_s):
                    draw = self._sending.rng.random()
                    delay_s = self._sending.backoff.delay_s(attempt, draw, asked_s)
                    yield from self._pause(cause, delay_s)
                    attempt += 1
                case BodyRefused(refusal) if len(batch) == 1:
                    yield from self._settle([_refused_alone(batch[0], refusal)])
                case BodyRefused():
                    largest = len(batch) // 2  # One bad event must not hold up the others.
                case Stop(error):
                    self._stopped = error
                    break
        self._ended = True
        self._notify()

    def broke(self, error: BaseException) -> Program[None]:
        """Note that `sending` failed: whoever waits must be told, not wait on."""
        if not self._abandoned:
            _log.error("the sender stopped: %s", where(error))
        self._stopped = PermanentError(f"the sender failed ({type(error).__name__}).")
        self._ended = True
        self._notify()
        yield from ()

    def _next_batch(self, largest: int) -> Program[list[bytes]]:
        """The messages to send next, left in the queue; empty when there is nothing more to do."""
        while not self._queue and not (self._closing or self._abandoned):
            yield Change()
        lingered_until = self._monotonic() + self._limits.linger_s
        while len(self._queue) < largest and not (self._closing or self._hurry):
            left_s = lingered_until - self._monotonic()
            if left_s <= 0:
                break
            yield Change(left_s)
        batch: list[bytes] = []
        if self._abandoned:
            return batch
        size = _ENVELOPE_BYTES
        for encoded in self._queue:
            size += len(encoded) + 1
            if len(batch) == largest or (batch and size > self._limits.batch_bytes):
                break
            batch.append(encoded)
        return batch

    def _settle(self, verdicts: Sequence[Verdict]) -> Program[None]:
        if self._abandoned:
            return  # The caller of `close` has these messages already.
        for verdict in verdicts:
            self._queue.popleft()
            self._verdicts.append(verdict)
            self._counts[verdict.outcome] += 1
        self._done += len(verdicts)
        self._cause = None
        self._notify()
        if refused := [one for one in verdicts if one.outcome in _REFUSALS]:
            yield Tell(self._sending.on_refused, refused)

    def _pause(self, cause: str, delay_s: float) -> Program[None]:
        deadline, self._cause = self._monotonic() + delay_s, cause
        while not self._abandoned and (left_s := deadline - self._monotonic()) > 0:
            yield Change(left_s)

    def _over(self) -> bool:
        return self._stopped is not None or self._abandoned

    def _refusing(self) -> bool:
        return self._over() or self._closing

    def _why_over(self) -> str:
        if self._stopped is not None:
            return str(self._stopped)
        return (
            f"the client was closed{f' while sending failed ({self._cause})' * bool(self._cause)}."
        )

    def _collect(self) -> list[Verdict]:
        collected = list(self._verdicts)
        self._verdicts.clear()
        return collected

    def _left(self) -> list[Message]:
        return [decoded(encoded) for encoded in self._queue]


def tell(step: Tell) -> None:
    """Tell each refusal, whatever the app's own code does with it."""
    for verdict in step.refused:
        try:
            step.on_refused(verdict)
        except Exception as error:  # noqa: BLE001 - the caller's code must not end sending
            _log.error("on_refused failed; sending goes on: %s", where(error))


def log_refusal(verdict: Verdict) -> None:
    """What hears of refusals where an app does not say: one warning, without personal data."""
    _log.warning("an event was %s (%s): %s", verdict.outcome, verdict.code, verdict.hint)


_REFUSALS = (Outcome.REJECTED, Outcome.CONSENT_REFUSED)


def decoded(encoded: bytes) -> Message:
    return msgspec.json.decode(encoded, type=dict)


def _refused_alone(encoded: bytes, refusal: Refused) -> Verdict:
    message_id = decoded(encoded).get("messageId")
    return Verdict(Outcome.REJECTED, message_id, code=refusal.code, hint=str(refusal))
