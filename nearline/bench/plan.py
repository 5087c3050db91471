"""What one run asks of which system."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

Progress = Callable[[str, str, int], Callable[[], None]]  # titles, steps; returns "one more"
CLIENTS = (1, 8, 32)
OPEN_RATE_PER_S = 50.0
BUSY_EVENTS_PER_S, BUSY_ASKS_PER_S, BUSY_FOLLOWS_PER_S = 200.0, 20.0, 5.0


@dataclass(frozen=True, slots=True)
class Plan:
    """Where the system is and how much is asked of it.

    Each closed loop asks for `seconds`, each open one four times as long. `environ` spells out
    the settings of a system of this machine; without it, what needs its files is left out.
    """

    collector_url: str
    api_url: str
    api_grpc: str
    write_key: str
    redis_url: str
    run: str
    seed: int
    trials: int
    customers: int
    batches: int
    seconds: float
    environ: Mapping[str, str] | None = None

    @property
    def open_seconds(self) -> float:
        return 4 * self.seconds
