"""The ranker's lessons: candidates of past moments, their features then, their gains after.

Features come from Feast as of the moment, gains from what occurred strictly after it. A
question is one moment of one customer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nearline.transforms.candidates import excluded_ids
from nearline.transforms.customer import CustomerState
from nearline.transforms.ranking import RANKER_FEATURES, Candidate, assemble, item_rows
from training.datasets import Dataset
from training.label_points import Point
from training.retrieval import Retriever
from training.states import States

# Axes: Q questions, R rows (question by question), F features, K places in a list.
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Question:
    """A moment with its candidates in the order of retrieval, and all that was met after it.

    `targets` maps item_index to gain; it holds what retrieval missed as well, but nothing
    that must not be shown.
    """

    as_of_us: int
    state: CustomerState
    candidates: tuple[Candidate, ...]
    targets: Mapping[int, int]

    @property
    def gains(self) -> npt.NDArray[np.int64]:
        """In step with the candidates; 0 for what was not met."""
        return np.array([self.targets.get(one.item_index, 0) for one in self.candidates], np.int64)

    def cut(self, places: npt.NDArray[np.int64]) -> Question:
        """The same moment with some of its candidates."""
        kept = tuple(self.candidates[place] for place in places.tolist())
        return Question(self.as_of_us, self.state, kept, self.targets)


@dataclass(frozen=True)
class Rows:
    """Feature rows of many questions, laid end to end; question numbers rise from 0.

    `weights_Q` says how much each question counts when learning; without, all count alike.
    """

    features_RF: npt.NDArray[np.float32]
    gains_R: npt.NDArray[np.int64]
    question_R: npt.NDArray[np.int64]
    weights_Q: Floats | None = None

    def and_then(self, other: Rows) -> Rows:
        """Both, the other's questions numbered after these."""
        held = int(self.question_R[-1]) + 1 if len(self.question_R) else 0
        return Rows(
            np.concatenate([self.features_RF, other.features_RF]),
            np.concatenate([self.gains_R, other.gains_R]),
            np.concatenate([self.question_R, other.question_R + held]),
            np.concatenate([self._weights(), other._weights()]),
        )

    def _weights(self) -> Floats:
        if self.weights_Q is not None:
            return self.weights_Q
        return np.ones(int(self.question_R[-1]) + 1 if len(self.question_R) else 0)


def ask(
    moments: Sequence[Point], dataset: Dataset, retriever: Retriever, states: States
) -> list[Question]:
    """The moments after which something was met that may be shown, with their candidates."""
    instants = [point.as_of_us for point in moments]
    known = states.customers([dataset.customer_ids[point.customer] for point in moments], instants)
    questions: list[Question] = []
    for point, state, found in zip(
        moments, known, retriever.candidates(known, instants), strict=True
    ):
        owned = excluded_ids(state)
        targets = {
            index: gain
            for index, gain in point.gains.items()
            if dataset.items.item_ids[index] not in owned
        }
        if targets:
            questions.append(Question(point.as_of_us, state, tuple(found), targets))
    return questions


def lessons(questions: Sequence[Question], negatives: int, seed: int) -> list[Question]:
    """Questions that retrieval hit, with all their hits and at most `negatives` misses."""
    generator = np.random.default_rng(seed)
    kept: list[Question] = []
    for question in questions:
        hit = question.gains > 0
        if hit.any() and not hit.all():
            missed = np.flatnonzero(~hit)
            if len(missed) > negatives:
                missed = generator.choice(missed, negatives, replace=False)
            kept.append(question.cut(np.sort(np.concatenate([np.flatnonzero(hit), missed]))))
    return kept


def rows_of(
    questions: Sequence[Question],
    states: States,
    progress: Callable[[int], object] = lambda questions: None,
    at_once: int = 250,
) -> Rows:
    """Features and gains of every candidate; item states are read as of each moment."""
    features = [np.zeros((0, len(RANKER_FEATURES)), np.float32)]
    for start in range(0, len(questions), at_once):
        part = questions[start : start + at_once]
        found = iter(
            states.items(
                [one.item_id for question in part for one in question.candidates],
                [question.as_of_us for question in part for _ in question.candidates],
            )
        )
        for question in part:
            held = [next(found) for _ in question.candidates]
            rows_CI = item_rows(held, question.as_of_us)
            features.append(
                assemble(question.state, question.candidates, rows_CI, question.as_of_us)
            )
        progress(len(part))
    sizes = [len(question.candidates) for question in questions]
    gains = [question.gains for question in questions]
    return Rows(
        np.concatenate(features),
        np.concatenate(gains) if gains else np.zeros(0, np.int64),
        np.repeat(np.arange(len(questions)), sizes),
    )


def ideal_gains(questions: Sequence[Question], places: int) -> Floats:
    """(Q, K): the gains of each question's targets, largest first, padded with 0."""
    ideal_QK = np.zeros((len(questions), places))
    for number, question in enumerate(questions):
        best = sorted(question.targets.values(), reverse=True)[:places]
        ideal_QK[number, : len(best)] = best
    return ideal_QK
