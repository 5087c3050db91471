"""A ranker that scores as another does, and cannot say why."""

from __future__ import annotations

from typing import Any

import numpy as np

SECRET = "ann@example.com"


class Mute:
    """`pulls` stands for each contribution; without it the ranker raises."""

    def __init__(self, ranker: Any, pulls: float | None = None) -> None:
        self.scores, self._pulls = ranker.scores, pulls

    def contributions(self, rows: Any) -> Any:
        if self._pulls is None:
            raise RuntimeError(f"no such tree for {SECRET}")
        return np.full((len(rows), 999), self._pulls)
