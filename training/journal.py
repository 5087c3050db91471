"""What the stages of a training run share: whom they tell, and what they leave behind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from nearline.say import Words, say

if TYPE_CHECKING:
    from training.encoder_trial import EncoderTrial
    from training.trial import Trial


class Watch(Protocol):
    """Whoever looks on while training runs."""

    def stage(self, title: str, total: int) -> None: ...

    def step(self, advance: int = 1, note: str = "") -> None: ...

    def tell(self, sentence: str) -> None: ...


@dataclass
class Journal:
    """What a run leaves besides its models: figures, curves and what was left out."""

    metrics: dict[str, float] = field(default_factory=dict)
    curve: list[dict[str, float]] = field(default_factory=list)  # the encoder's, by epoch
    left_out: list[Words] = field(default_factory=list)
    index: Words | None = None  # which one a bundle got and why; without a full stop
    trial: Trial | None = None  # the ranker's lessons and test, for rankers that are brought
    encoder_trial: EncoderTrial | None = None  # the encoder's test, likewise
    retrieval: dict[str, dict[str, float]] = field(default_factory=dict)
    """Of the encoder and each simple model by name: accuracy, coverage, diversity, novelty."""
    ranking: dict[str, dict[str, float]] = field(default_factory=dict)
    """Of each order of the ranker's candidates by name: coverage, diversity, novelty."""
    segments: dict[str, dict[str, float]] = field(default_factory=dict)
    """By group of questions: how many, and NDCG@10 of the encoder and the best simple model."""
    report_html: str = ""  # the run's report for the browser; empty when none was made
    curves: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    """Of each score by its name, what plots need: `chance` stated and share `seen` by bin of
    calibration; and over `alert_rate`, `recall` and `precision`. Lists of equal length in pairs."""

    def leave_out(self, what: Words, watch: Watch) -> None:
        """Remember and tell what the history could not teach, and why; without a full stop."""
        self.left_out.append(what)
        watch.tell(say(f"Left out: {what.en}.", f"略过：{what.zh}。"))


def quantile(values: Sequence[int], share: float) -> int:
    """The value below which a share of all lies; 0 without any."""
    return sorted(values)[int(share * (len(values) - 1))] if values else 0
