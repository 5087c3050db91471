"""Who may compute now: a few at a time, others in a queue that is never longer than a wait.

An answer is a few milliseconds of computing in a process with one thread for it. What is
offered beyond that waits, with no clock running on its reads yet; what would wait too long is
refused at once, which costs next to nothing, so that those who are let in are answered in time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from nearline.errors import TransientError

AT_ONCE = 2  # One computes while the other waits for its customer's row.
_WEIGHT = 0.05  # Of the newest turn in the running mean, once there were enough for it.
# Nobody knows the pace of a process that has not answered yet. Taken for 0, all of the first burst
# were let in and waited past their deadline; taken for a tenth of the deadline, ten are, and what
# they take says the rest. It weighs as one turn, so that a wrong guess is soon forgotten.
_FIRST_SHARE = 0.1
RETRY_AFTER_S = 1


class Overloaded(TransientError):
    """More is asked than can be answered in time; `retry_after_s` is when to ask again."""

    def __init__(self, waiting: int, answered_ms: float, limit_ms: float) -> None:
        self.waiting, self.answered_ms, self.limit_ms = waiting, answered_ms, limit_ms
        self.retry_after_s = RETRY_AFTER_S
        super().__init__(
            f"{waiting} questions wait here already, so this one would be answered after "
            f"{answered_ms:.0f} ms; "
            f"at most {limit_ms:.0f} ms are allowed. Ask again in {RETRY_AFTER_S} s, or let more "
            "replicas answer (NEARLINE_REPLICAS)."
        )


class Turns:
    """A queue before a few places. One instance per event loop."""

    def __init__(self, limit_ms: float, at_once: int = AT_ONCE) -> None:
        self._limit_ms = limit_ms
        self._places = asyncio.Semaphore(at_once)
        self._waiting = 0
        self._finished_s, self._mean_ms = 0.0, _FIRST_SHARE * limit_ms
        self._turns = 1
        self.refused = 0

    @property
    def expected_ms(self) -> float:
        """How long the next one will wait, by the pace at which turns ended lately."""
        return self._waiting * self._mean_ms

    @asynccontextmanager
    async def turn(self, limit_ms: float | None = None) -> AsyncIterator[None]:
        """One's turn; raises Overloaded where it would end later than the limit."""
        limit_ms = self._limit_ms if limit_ms is None else min(limit_ms, self._limit_ms)
        # Its own turn counts too: an answer that begins when the time is up comes too late. Where
        # nobody is, it may begin, else a slow mean would never be told otherwise.
        answered_ms = self.expected_ms + self._mean_ms
        if self._waiting and answered_ms > limit_ms:
            self.refused += 1
            raise Overloaded(self._waiting, answered_ms, limit_ms)
        self._waiting += 1
        came_s = time.perf_counter()
        try:
            async with self._places:
                try:
                    yield
                finally:
                    self._ended(came_s)
        finally:
            self._waiting -= 1

    def _ended(self, came_s: float) -> None:
        """In a queue the pace is what counts: the time since the turn before ended.

        Who gave up while waiting had no turn, and would make the pace look quick.
        """
        now_s = time.perf_counter()
        took_ms = (now_s - max(came_s, self._finished_s)) * 1_000
        # Of a pause of the machine the pace would else say that nobody can be answered in time.
        took_ms = min(took_ms, self._limit_ms)
        self._finished_s = now_s
        self._turns += 1
        self._mean_ms += max(_WEIGHT, 1 / self._turns) * (took_ms - self._mean_ms)
