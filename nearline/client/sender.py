"""A bounded queue and one thread that empties it in batches, losing nothing silently.

A message leaves the queue when its verdict is known, never before: whatever goes wrong, what
is left in the queue is what may not have arrived.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import msgspec

from nearline.client.errors import FlushTimeout, Message, QueueFull, Refused, Undelivered
from nearline.client.messages import batch_body
from nearline.client.retry import Backoff
from nearline.client.transport import Again, BodyRefused, Delivered, Reply, Stop
from nearline.clock import utc
from nearline.contracts.verdict import Outcome, Verdict
from nearline.errors import PermanentError

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


class Sender:
    """Sends what is put into it. `post` makes one attempt (see `transport.post_batch`)."""

    def __init__(
        self,
        post: Callable[[Sequence[bytes], float], Reply],
        *,
        limits: SenderLimits,
        backoff: Backoff,
        rng: random.Random,
        on_refused: Callable[[Verdict], None] | None = None,
    ) -> None:
        self._post, self._limits = post, limits
        self._backoff, self._rng = backoff, rng
        self._on_refused = on_refused or log_refusal
        self._changed = threading.Condition()
        self._queue: deque[bytes] = deque()
        self._taken = self._done = 0
        self._verdicts: deque[Verdict] = deque(maxlen=limits.max_queued)
        self._counts: Counter[Outcome] = Counter()
        self._hurry = 0  # Flushes and closings that wait: no lingering.
        self._closing = self._abandoned = False
        self._cause: str | None = None  # Of the last failed attempt.
        self._stopped: PermanentError | None = None
        self._thread = threading.Thread(target=self._run, name="nearline-sender", daemon=True)
        self._thread.start()

    @property
    def counts(self) -> dict[Outcome, int]:
        """How many events had each outcome, since the start."""
        with self._changed:
            return dict(self._counts)

    def put(self, encoded: bytes) -> None:
        """Queue one message; raises QueueFull, or Undelivered once sending has stopped."""
        deadline = time.monotonic() + self._limits.full_wait_s
        with self._changed:
            while len(self._queue) >= self._limits.max_queued and not self._refusing():
                left_s = deadline - time.monotonic()
                if left_s <= 0:
                    raise QueueFull(len(self._queue), self._limits.full_wait_s, self._cause)
                self._changed.wait(left_s)
            if self._refusing():
                raise Undelivered([_decoded(encoded)], self._why_over())
            self._queue.append(encoded)
            self._taken += 1
            self._changed.notify_all()

    def flush(self, timeout_s: float) -> list[Verdict]:
        """Wait until all that was put before has a verdict; return those since the last flush.

        At most the newest `max_queued` verdicts are kept; refusals go to `on_refused` as well.
        Raises FlushTimeout, or Undelivered once sending has stopped.
        """
        deadline = time.monotonic() + timeout_s
        with self._changed:
            target = self._taken
            self._hurry += 1
            self._changed.notify_all()
            try:
                while self._done < target and not self._over():
                    left_s = deadline - time.monotonic()
                    if left_s <= 0:
                        waiting = target - self._done
                        raise FlushTimeout(waiting, timeout_s, self._collect(), self._cause)
                    self._changed.wait(left_s)
            finally:
                self._hurry -= 1
            if self._done < target:
                raise Undelivered(self._left(), self._why_over())
            return self._collect()

    def close(self, timeout_s: float) -> None:
        """Send what is left and end the thread; raises Undelivered with what was not sent."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(timeout_s)
        with self._changed:
            self._abandoned = True
            self._changed.notify_all()
            if self._queue:
                left = self._left()
                self._queue.clear()
                raise Undelivered(left, self._why_over())

    def _run(self) -> None:
        try:
            self._send_all()
        except Exception as error:  # noqa: BLE001 - a thread that dies unseen would lose events
            with self._changed:
                if not self._abandoned:
                    _log.exception("the sender stopped")
                self._stopped = PermanentError(f"the sender failed ({type(error).__name__}).")
                self._changed.notify_all()

    def _send_all(self) -> None:
        largest, attempt = self._limits.batch_events, 0
        while batch := self._next_batch(largest):
            match self._post(batch, self._limits.attempt_s):
                case Delivered(verdicts):
                    self._settle(verdicts)
                    largest, attempt = self._limits.batch_events, 0
                case Again(cause, asked_s):
                    self._pause(cause, self._backoff.delay_s(attempt, self._rng.random(), asked_s))
                    attempt += 1
                case BodyRefused(refusal) if len(batch) == 1:
                    self._settle([_refused_alone(batch[0], refusal)])
                case BodyRefused():
                    largest = len(batch) // 2  # One bad event must not hold up the others.
                case Stop(error):
                    with self._changed:
                        self._stopped = error
                        self._changed.notify_all()
                    return

    def _next_batch(self, largest: int) -> list[bytes]:
        """The messages to send next, left in the queue; empty when there is nothing more to do."""
        with self._changed:
            while not self._queue and not (self._closing or self._abandoned):
                self._changed.wait()
            lingered_until = time.monotonic() + self._limits.linger_s
            while len(self._queue) < largest and not (self._closing or self._hurry):
                left_s = lingered_until - time.monotonic()
                if left_s <= 0:
                    break
                self._changed.wait(left_s)
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

    def _settle(self, verdicts: Sequence[Verdict]) -> None:
        with self._changed:
            if self._abandoned:
                return  # The caller of `close` has these messages already.
            for verdict in verdicts:
                self._queue.popleft()
                self._verdicts.append(verdict)
                self._counts[verdict.outcome] += 1
            self._done += len(verdicts)
            self._cause = None
            self._changed.notify_all()
        for verdict in verdicts:
            if verdict.outcome in (Outcome.REJECTED, Outcome.CONSENT_REFUSED):
                try:
                    self._on_refused(verdict)
                except Exception:  # noqa: BLE001 - the caller's code must not end sending
                    _log.exception("on_refused failed; sending goes on")

    def _pause(self, cause: str, delay_s: float) -> None:
        deadline = time.monotonic() + delay_s
        with self._changed:
            self._cause = cause
            while not self._abandoned and (left_s := deadline - time.monotonic()) > 0:
                self._changed.wait(left_s)

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
        return [_decoded(encoded) for encoded in self._queue]


def log_refusal(verdict: Verdict) -> None:
    """The default `on_refused`: one warning, without personal data."""
    _log.warning("an event was %s (%s): %s", verdict.outcome, verdict.code, verdict.hint)


def _decoded(encoded: bytes) -> Message:
    return msgspec.json.decode(encoded, type=dict)


def _refused_alone(encoded: bytes, refusal: Refused) -> Verdict:
    message_id = _decoded(encoded).get("messageId")
    return Verdict(Outcome.REJECTED, message_id, code=refusal.code, hint=str(refusal))
