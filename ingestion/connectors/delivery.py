"""Batches to the collector, again and again until it answers; what came of them is counted."""

from __future__ import annotations

import random
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from nearline.client.exchange import Again, BodyRefused, Delivered, Reply, Stop
from nearline.client.retry import Backoff
from nearline.contracts.verdict import Outcome, Verdict

_ATTEMPT_S = 10.0
_BACKOFF = Backoff(first_s=0.2, longest_s=10.0)


class Post(Protocol):
    """One attempt to deliver; see `nearline.client.transport.Transport.post_batch`."""

    def __call__(self, encoded: Sequence[bytes], timeout_s: float, /) -> Reply: ...


@dataclass(slots=True)
class Tally:
    """What became of the events sent, and how long the collector took to answer."""

    outcomes: Counter[Outcome] = field(default_factory=Counter)
    codes: Counter[str] = field(default_factory=Counter)  # of refusals
    retries: int = 0
    latest_cause: str = ""
    answer_ms: deque[float] = field(default_factory=lambda: deque(maxlen=10_000))

    def add(self, verdicts: Sequence[Verdict], answer_ms: float) -> None:
        self.answer_ms.append(answer_ms)
        for verdict in verdicts:
            self.outcomes[verdict.outcome] += 1
            if verdict.code:
                self.codes[verdict.code] += 1

    def percentile_ms(self, share: float) -> float:
        """A percentile of the newest answer times; 0 before the first answer."""
        if not self.answer_ms:
            return 0.0
        ordered = sorted(self.answer_ms)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class Delivery:
    """Delivers batches in order. `pause(s)` waits, and says whether to give up."""

    def __init__(self, post: Post, pause: Callable[[float], bool], rng: random.Random) -> None:
        self._post, self._pause, self._rng = post, pause, rng
        self.tally = Tally()

    def send(self, encoded: Sequence[bytes]) -> bool:
        """Deliver; False when told to give up before it was done.

        While the collector is away or overloaded (503, 429) it is asked again, after what it
        asks for or with growing pauses. Raises PermanentError when asking cannot help.
        """
        attempt = 0
        while True:
            started = time.perf_counter()
            match self._post(encoded, _ATTEMPT_S):
                case Delivered(verdicts):
                    self.tally.add(verdicts, (time.perf_counter() - started) * 1_000)
                    self.tally.latest_cause = ""
                    return True
                case Again(cause, asked_s):
                    self.tally.retries += 1
                    self.tally.latest_cause = cause
                    if self._pause(_BACKOFF.delay_s(attempt, self._rng.random(), asked_s)):
                        return False
                    attempt += 1
                case BodyRefused(refusal):
                    raise refusal
                case Stop(error):
                    raise error
