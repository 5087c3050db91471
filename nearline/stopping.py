"""How work that goes on until it is told ends in order: Ctrl-C, SIGTERM, and a flag they raise."""

from __future__ import annotations

import math
import queue
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM)
_LOOK_S = 1.0


class StopFlag:
    """What `threading.Event` is, and may be raised by a signal handler.

    A handler runs in the main thread between any two steps of it. Where those are inside
    `Event.wait`, the thread holds the event's lock, and `Event.set` in the handler then waits
    for it for ever: Ctrl-C hung a loop that waits often. `SimpleQueue.put` is documented to be
    reentrant, so nothing here can wait for the thread that it has interrupted.
    """

    def __init__(self) -> None:
        self._raised = False
        self._told: queue.SimpleQueue[None] = queue.SimpleQueue()

    def set(self) -> None:
        """Raise it, for good; wakes everyone who waits."""
        self._raised = True
        self._told.put(None)

    def is_set(self) -> bool:
        return self._raised

    def wait(self, timeout_s: float | None = None) -> bool:
        """Wait until it is raised, or `timeout_s` at most; say whether it is raised.

        Python calls a handler between two steps of its own: of a signal that comes when the last
        of them is over and the kernel's wait has not begun, nobody is told before the wait ends.
        So it lasts a second at most, and begins again.
        """
        until_s = math.inf if timeout_s is None else time.monotonic() + timeout_s
        while not self._raised and (left_s := until_s - time.monotonic()) > 0:
            with suppress(queue.Empty):
                self._told.get(timeout=min(left_s, _LOOK_S))
                self._told.put(None)  # For the next who waits.
        return self._raised


@contextmanager
def stop_on_signals() -> Iterator[StopFlag]:
    """A flag that Ctrl-C or SIGTERM raises; the second Ctrl-C interrupts at once."""
    stopped = StopFlag()

    def stop(number: int, _frame: FrameType | None) -> None:
        if stopped.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        stopped.set()

    before = {number: signal.signal(number, stop) for number in SIGNALS}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def interrupt_on_term() -> Iterator[None]:
    """Let SIGTERM unwind like Ctrl-C."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
