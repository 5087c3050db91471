"""Calls in a row or from several threads at once, each timed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Timed:
    """Times of single calls in ms, and of the whole in s."""

    samples_ms: list[float]
    wall_s: float


def timed(calls: int, clients: int, call: Callable[[int], object]) -> Timed:
    """Call `call(0) ... call(calls - 1)` from `clients` threads; the first error ends it.

    Each thread takes every `clients`-th number, and all start together.
    """
    together = threading.Barrier(clients + 1)

    def one_client(first: int) -> list[float]:
        samples: list[float] = []
        together.wait()
        for number in range(first, calls, clients):
            started = time.perf_counter()
            call(number)
            samples.append((time.perf_counter() - started) * 1_000)
        return samples

    with ThreadPoolExecutor(clients) as pool:
        try:
            running = [pool.submit(one_client, first) for first in range(clients)]
            together.wait()
        except BaseException:
            together.abort()  # Else who has begun waits for the others, and the pool for them.
            raise
        started = time.perf_counter()
        samples = [sample for future in running for sample in future.result()]
        return Timed(samples, time.perf_counter() - started)
