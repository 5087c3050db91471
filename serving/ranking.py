"""Scores for candidates, by the very bundle that retrieved them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from nearline.errors import TransientError
from nearline.served import rows_as_bytes
from nearline.transforms.customer import CustomerState
from nearline.transforms.ranking import Candidate, assemble
from serving.bundles import Shelf


class RankerUnavailable(TransientError):
    """This replica cannot rank with the bundle asked for."""

    def __init__(self, version: str, why: str) -> None:
        self.version, self.why = version, why
        super().__init__(f"bundle {version} cannot rank here: {why}. Retrieval's order stands.")

    def __reduce__(self) -> tuple[type[RankerUnavailable], tuple[str, str]]:
        return RankerUnavailable, (self.version, self.why)  # It travels between replicas.


@dataclass(frozen=True, slots=True)
class RankRequest:
    """Candidates with what the ranker sees of them; `item_values` is in step with them."""

    bundle: str
    state: CustomerState
    candidates: tuple[Candidate, ...]
    item_values: tuple[Mapping[str, float], ...]
    as_of_us: int
    with_rows: bool = False  # for the answers whose vectors are kept


@dataclass(frozen=True, slots=True)
class Ranked:
    """One score per candidate, in step, higher is better; comparable within one answer.

    `rows` is what the ranker saw (`nearline.served.rows_as_bytes`), empty unless asked for.
    """

    scores: tuple[float, ...]
    rows: bytes = b""


class RankingPort(Protocol):
    """Whoever can rank: the class below, or a handle to its replicas."""

    async def rank(self, request: RankRequest) -> Ranked: ...


class Ranking:
    """Ranks with any bundle that is resident."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    async def rank(self, request: RankRequest) -> Ranked:
        """Scores of the candidates.

        Raises RankerUnavailable when the bundle is not here, has no ranker or fails.
        """
        bundle = self._shelf.get(request.bundle)
        if bundle is None:
            raise RankerUnavailable(request.bundle, "it is not loaded")
        if bundle.ranker is None:
            raise RankerUnavailable(request.bundle, "it brings no ranker")
        if not request.candidates:
            return Ranked(())
        rows = assemble(request.state, request.candidates, request.item_values, request.as_of_us)
        scores = bundle.ranker.scores(rows)
        if not np.isfinite(scores).all():
            raise RankerUnavailable(request.bundle, "its scores are not finite")
        return Ranked(tuple(scores.tolist()), rows_as_bytes(rows) if request.with_rows else b"")
