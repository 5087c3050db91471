"""The parts of an answer, timed: for the metrics, and for a trace where one is kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from nearline import tracing


class Stages:
    """Times named parts. What is timed knows nothing of clocks: it says where a part begins."""

    def __init__(self, observe: Callable[[str, float], object] = lambda name, ms: None) -> None:
        """`observe` gets each part's name and how long it took in ms."""
        self._observe = observe

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        started_s = time.perf_counter()
        try:
            with tracing.part(name):
                yield
        finally:
            self._observe(name, (time.perf_counter() - started_s) * 1_000)


UNTIMED = Stages()
