"""What one reproduction is made of; every data set fills this and nothing else prints a figure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol


class Origin(StrEnum):
    """Who says so."""

    OURS = "ours"  # measured in this very run
    SIMPLE = "simple"  # measured in this very run, by a simple model
    PUBLISHED = "published"  # read in the named source, not run here


@dataclass(frozen=True, slots=True)
class Row:
    """One model's figures by metric name, such as {"ndcg_at_10": .17}; `note` names its source."""

    model: str
    origin: Origin
    figures: dict[str, float]
    note: str = ""


@dataclass(frozen=True, slots=True)
class Gate:
    """What a figure of one of our rows must reach; `below` turns it into a ceiling."""

    model: str
    metric: str
    bound: float
    below: bool = False
    stretch: bool = False  # A goal that may be missed; the page says whether it was.

    def met_by(self, figures: dict[str, float]) -> bool:
        value = figures[self.metric]
        return value <= self.bound if self.below else value >= self.bound


@dataclass(frozen=True, slots=True)
class Check:
    """A figure known beforehand that a row measured here must come to, within a relative share."""

    model: str
    metric: str
    expected: float
    within: float = 0.05

    def met_by(self, figures: dict[str, float]) -> bool:
        return abs(figures[self.metric] - self.expected) <= self.within * abs(self.expected)


@dataclass(frozen=True, slots=True)
class Comparison:
    """One table of a page: a protocol, the data's size as asserted, the models, and the gates."""

    title: str
    protocol: str  # Split, what competes, what is filtered, order of ties.
    statistics: dict[str, int | float]  # of the data, asserted against what is published
    metrics: tuple[str, ...]  # the columns, in order
    rows: tuple[Row, ...]
    gates: tuple[Gate, ...] = ()
    checks: tuple[Check, ...] = ()
    remarks: tuple[str, ...] = ()  # Honest words below the table.
    seconds: dict[str, float] = field(default_factory=dict)  # by model that was trained
    seed: int = 0


class Watch(Protocol):
    """Whoever looks on while it runs (see `training.progress.Bars`)."""

    def stage(self, title: str, total: int) -> None: ...

    def step(self, advance: int = 1, note: str = "") -> None: ...

    def tell(self, sentence: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Place:
    """Where a reproduction reads its public data and keeps its checkpoints."""

    data: Path
    checkpoints: Path
    threads: int


Reproduction = Callable[[Place, Watch], list[Comparison]]
