"""The ranker on trial: against retrieval, against each single source, and by kind of customer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nearline.transforms.buckets import DAY_US
from nearline.transforms.ranking import RANKER_FEATURES, SOURCES
from training.metrics import hit_at_k, ndcg_at_k, paired_bootstrap, precision_at_k
from training.ranking_rows import Question, Rows, ideal_gains

# Axes: Q questions, R rows (question by question, in retrieval's order), K places in a list.
Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Marks = npt.NDArray[np.bool_]

SHOWN = 10
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
class Exam:
    """What a ranker is asked: the candidates of each question, and what should have stood first.

    `ideal_QK` holds, of each question, the gains of all that was met, best first; what retrieval
    missed counts against every ranker alike. `segments` marks which questions are of which kind
    of customer.
    """

    rows: Rows
    ideal_QK: Floats
    segments: Mapping[str, Marks]

    @classmethod
    def of(cls, rows: Rows, questions: Sequence[Question]) -> Exam:
        """The questions with their rows, as `ranking_rows.rows_of` lays them."""
        inside = {
            name: np.array([belongs(one) for one in questions], bool)
            for name, belongs in SEGMENTS.items()
        }
        return cls(rows, ideal_gains(questions, SHOWN), inside)

    def __len__(self) -> int:
        return len(self.ideal_QK)

    def by_scores(self, scores_R: npt.NDArray[np.float32]) -> Ints:
        """(Q, K): the row at each place, best score first; ties keep retrieval's order."""
        return self._first(-np.asarray(scores_R, np.float64))

    def by_retrieval(self) -> Ints:
        """The same in the order of retrieval."""
        return self._first(np.zeros(len(self.rows.gains_R)))

    def by_source(self, source: str) -> Ints:
        """The same for what one source named, in its order; the rest is not shown."""
        places_R = self.rows.features_RF[:, RANKER_FEATURES.index(f"{source}_rank")]
        return self._first(places_R.astype(np.float64))

    def ndcg(self, shown_QK: Ints) -> Floats:
        """(Q,): NDCG@10 of lists of rows."""
        return ndcg_at_k(self.gains(shown_QK), self.ideal_QK, SHOWN)

    def gains(self, shown_QK: Ints) -> Floats:
        """(Q, K): the gain at each place of lists of rows; 0 where nothing stands."""
        gains_R = np.append(self.rows.gains_R, 0)  # -1 takes the last.
        return gains_R[shown_QK].astype(np.float64)

    def _first(self, key_R: Floats) -> Ints:
        """Rows of each question in rising order of a key, -1 where none is left.

        NaN keys are not shown; equal keys keep their order.
        """
        question_R = self.rows.question_R
        order_R = np.lexsort((key_R, question_R))  # Question by question still, NaN last in each.
        place_R = np.arange(len(order_R)) - np.searchsorted(question_R, question_R)
        kept_R = (place_R < SHOWN) & ~np.isnan(key_R[order_R])
        shown_QK = np.full((len(self), SHOWN), -1, np.int64)
        shown_QK[question_R[kept_R], place_R[kept_R]] = order_R[kept_R]
        return shown_QK


@dataclass(frozen=True)
class Verdict:
    """The lists of each order (ranker, retrieval, every source) and how good they are."""

    shown: Mapping[str, Ints]  # (Q, K) rows
    each: Mapping[str, Floats]  # (Q,) NDCG@10
    best_source: str
    lead: tuple[float, float, float]  # ranker minus best source, 95 % interval, paired by question

    @property
    def ndcg(self) -> dict[str, float]:
        """The means."""
        return {name: float(values.mean()) for name, values in self.each.items()}


def judge(exam: Exam, scores_R: npt.NDArray[np.float32], seed: int) -> Verdict:
    """Compare a ranker's order, given by its scores, with retrieval's and each single source's.

    All candidates compete and all targets count, those that retrieval missed as well.
    """
    shown = {
        "ranker": exam.by_scores(scores_R),
        "retrieval": exam.by_retrieval(),
        **{source: exam.by_source(source) for source in SOURCES},
    }
    each = {name: exam.ndcg(lists_QK) for name, lists_QK in shown.items()}
    best = max(SOURCES, key=lambda name: float(each[name].mean()))
    return Verdict(shown, each, best, paired_bootstrap(each["ranker"], each[best], seed))


def figures(exam: Exam, verdict: Verdict, seed: int) -> dict[str, float]:
    """What is kept of a trial, by the names of a journal's metrics.

    Of each order NDCG@10, hit rate (in how many lists something met stood) and precision; the
    ranker's lead; and all of `by_segment`.
    """
    targets_Q = (exam.ideal_QK > 0).sum(axis=1)
    found = {"ranker_test_questions": float(len(exam))} | _interval("ranker_lead", verdict.lead)
    for name, lists_QK in verdict.shown.items():
        gains_QK = exam.gains(lists_QK)
        found |= {
            f"rank_{name}_ndcg_at_10": float(verdict.each[name].mean()),
            f"rank_{name}_hit_at_10": float(hit_at_k(gains_QK, targets_Q, SHOWN).mean()),
            f"rank_{name}_precision_at_10": float(
                precision_at_k(gains_QK, targets_Q, SHOWN).mean()
            ),
        }
    for name, own in by_segment(exam, verdict, seed).items():
        found |= {f"rank_segment_{name}_{key}": value for key, value in own.items()}
    return found


def by_segment(exam: Exam, verdict: Verdict, seed: int) -> dict[str, dict[str, float]]:
    """The ranker's figures in each segment that was asked about.

    `ndcg_at_10` with its 95 % interval (`_low`, `_high`), its `lead` over the best source of all
    with the same, and how many `questions` the segment has.
    """
    found: dict[str, dict[str, float]] = {}
    for name, inside_Q in exam.segments.items():
        if not inside_Q.any():
            continue
        own_Q, best_Q = (verdict.each[one][inside_Q] for one in ("ranker", verdict.best_source))
        found[name] = {
            **_interval("ndcg_at_10", paired_bootstrap(own_Q, np.zeros(len(own_Q)), seed)),
            **_interval("lead", paired_bootstrap(own_Q, best_Q, seed)),
            "questions": float(inside_Q.sum()),
        }
    return found


def _interval(name: str, found: tuple[float, float, float]) -> dict[str, float]:
    return dict(zip((name, f"{name}_low", f"{name}_high"), found, strict=True))


def _tenure_us(asked: Question) -> int:
    """0 for a stranger."""
    first_us = asked.state.first_seen_us
    return asked.as_of_us - first_us if first_us else 0
