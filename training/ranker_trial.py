"""The ranker on trial: against retrieval, against each single source, and by kind of customer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from nearline.transforms.buckets import DAY_US
from nearline.transforms.ranking import SOURCES
from training.metrics import ndcg_at_k, paired_bootstrap
from training.ranking_rows import Question, Rows, ideal_gains, ordered_gains

# Axes: Q questions, R rows, K places in a list.
Floats = npt.NDArray[np.float64]

_SHOWN = 10
NEW_DAYS = 7
THIN = 5  # Recent interactions; with fewer a history says little.

# Who a customer was at the moment of the question. Two pairs, each covers everybody.
SEGMENTS: Mapping[str, Callable[[Question], bool]] = {
    "new": lambda asked: _tenure_us(asked) < NEW_DAYS * DAY_US,
    "returning": lambda asked: _tenure_us(asked) >= NEW_DAYS * DAY_US,
    "thin": lambda asked: len(asked.state.recent) < THIN,
    "long": lambda asked: len(asked.state.recent) >= THIN,
}


@dataclass(frozen=True)
class Verdict:
    """NDCG@10 of each order on each test question: ranker, retrieval, and every source by name."""

    each: Mapping[str, Floats]  # (Q,)
    best_source: str
    lead: tuple[float, float, float]  # ranker minus best source, 95 % interval, paired by question

    @property
    def ndcg(self) -> dict[str, float]:
        """The means."""
        return {name: float(values.mean()) for name, values in self.each.items()}


def judge(
    questions: Sequence[Question], scores_R: npt.NDArray[np.float32], rows: Rows, seed: int
) -> Verdict:
    """Compare the ranker's order with retrieval's and with each single source's.

    All candidates compete and all targets count, those that retrieval missed as well.
    Ties keep the order of retrieval.
    """
    cuts = np.searchsorted(rows.question_R, np.arange(len(questions) + 1))

    def by_ranker(number: int, question: Question) -> list[int]:
        own = scores_R[cuts[number] : cuts[number + 1]]
        return np.argsort(-own, kind="stable").tolist()  # type: ignore[no-any-return]

    orders: dict[str, Callable[[int, Question], Sequence[int]]] = {
        "ranker": by_ranker,
        "retrieval": lambda _, asked: range(len(asked.candidates)),
        **{source: partial(_by_source, source) for source in SOURCES},
    }
    ideal_QK = ideal_gains(questions, _SHOWN)
    each = {
        name: ndcg_at_k(ordered_gains(questions, order, _SHOWN), ideal_QK, _SHOWN)
        for name, order in orders.items()
    }
    best = max(SOURCES, key=lambda name: float(each[name].mean()))
    return Verdict(each, best, paired_bootstrap(each["ranker"], each[best], seed))


def by_segment(
    questions: Sequence[Question], verdict: Verdict, seed: int
) -> dict[str, dict[str, float]]:
    """The ranker's figures in each segment that was asked about.

    `ndcg_at_10` with its 95 % interval (`_low`, `_high`), its `lead` over the best source of all
    with the same, and how many `questions` the segment has.
    """
    found: dict[str, dict[str, float]] = {}
    for name, belongs in SEGMENTS.items():
        inside_Q = np.array([belongs(question) for question in questions], bool)
        if not inside_Q.any():
            continue
        own_Q = verdict.each["ranker"][inside_Q]
        mean, low, high = paired_bootstrap(own_Q, np.zeros(len(own_Q)), seed)
        lead = paired_bootstrap(own_Q, verdict.each[verdict.best_source][inside_Q], seed)
        found[name] = {
            "ndcg_at_10": mean,
            "ndcg_at_10_low": low,
            "ndcg_at_10_high": high,
            **dict(zip(("lead", "lead_low", "lead_high"), lead, strict=True)),
            "questions": float(inside_Q.sum()),
        }
    return found


def _tenure_us(asked: Question) -> int:
    """0 for a stranger."""
    first_us = asked.state.first_seen_us
    return asked.as_of_us - first_us if first_us else 0


def _by_source(source: str, _: int, question: Question) -> list[int]:
    named = [place for place, one in enumerate(question.candidates) if source in one.ranks]
    return sorted(named, key=lambda place: question.candidates[place].ranks[source])
