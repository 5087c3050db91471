"""The parts of an answer, timed: for the metrics, and for a trace where one is kept."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from nearline import tracing


class Stages:
    """Times named parts. What is timed knows nothing of clocks: it says where a part begins."""

    def __init__(self, observe: Callable[[str, float], object] = lambda name, ms: None) -> None:
        """`observe` gets each part's name and how long it took in ms."""
        self._observe = observe

    def __call__(self, name: str) -> AbstractContextManager[None]:
        return _Part(name, self._observe)


class _Part:
    """One part of one answer. No generator: there are six a question, and each cost 20 µs so."""

    __slots__ = ("_name", "_observe", "_span", "_started_s")

    def __init__(self, name: str, observe: Callable[[str, float], object]) -> None:
        self._name, self._observe = name, observe

    def __enter__(self) -> None:
        self._started_s = time.perf_counter()
        self._span = tracing.part(self._name)
        self._span.__enter__()

    def __exit__(self, *raised: object) -> None:
        try:
            self._span.__exit__(*raised)  # type: ignore[arg-type]
        finally:
            self._observe(self._name, (time.perf_counter() - self._started_s) * 1_000)


UNTIMED = Stages()
