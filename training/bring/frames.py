"""What a data scientist learns from: the champion's own lessons and test."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nearline.transforms.ranking import RANKER_FEATURES
from training.ranking_rows import Rows
from training.trial import Trial

# Axes: Q questions, R rows (question by question), F features, N events, L places, I items.
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Part:
    """Rows of several questions laid end to end: a question is one customer at one moment.

    Features are what was known at that moment (NaN where nothing was); gains are what was met
    after it: 0 nothing, 1 view, 2 cart or favourite, 3 purchase.
    """

    features_RF: npt.NDArray[np.float32]
    gains_R: Ints
    question_R: Ints  # rises from 0

    @property
    def sizes_Q(self) -> Ints:
        """Rows of each question: what LightGBM calls group, and XGBoost too."""
        return np.bincount(self.question_R) if len(self.question_R) else np.zeros(0, np.int64)

    def only(self, features: list[str]) -> Part:
        """The same rows with some of the features, in the order asked for."""
        columns = [RANKER_FEATURES.index(name) for name in features]
        return Part(self.features_RF[:, columns], self.gains_R, self.question_R)


@dataclass(frozen=True)
class RankingFrame:
    """Lessons, later lessons to stop by, and the test after both; in the order of time.

    `features` names the columns. What is learnt from `test` cannot be judged by it.
    """

    features: list[str]
    train: Part
    validation: Part
    test: Part
    trial: Trial

    def ndcg(self, scores_R: npt.NDArray[np.float32]) -> float:
        """Mean NDCG@10 of the test's questions when their rows are ordered by these scores."""
        return float(self.trial.exam.ndcg(self.trial.exam.by_scores(scores_R)).mean())


@dataclass(frozen=True)
class EncoderFrame:
    """Interactions up to the instant after which encoders are tested, by customer and time.

    `item_N` are rows of the champion's bundle: vectors must be given in the same order, one for
    each of `item_ids`. An encoder reads row + 1 and the kind (1 view, 2 cart, 3 purchase,
    4 favourite), oldest first, padded with 0 on the left to `history_length`.
    """

    item_ids: list[str]
    customer_N: Ints
    item_N: Ints
    kind_N: Ints
    occurred_at_us_N: Ints
    learnt_until_us: int
    history_length: int


def ranking_frame(trial: Trial, points: int | None, seed: int) -> RankingFrame:
    """A trial as a frame, with at most so many questions to learn from."""
    return RankingFrame(
        list(RANKER_FEATURES),
        _some(_part(trial.train), points, seed),
        _part(trial.validation),
        _part(trial.exam.rows),
        trial,
    )


def _part(rows: Rows) -> Part:
    return Part(rows.features_RF, rows.gains_R, rows.question_R)


def _some(part: Part, points: int | None, seed: int) -> Part:
    asked = len(part.sizes_Q)
    if points is None or points >= asked:
        return part
    chosen = np.random.default_rng(seed).choice(asked, points, replace=False)
    keep = np.isin(part.question_R, chosen)
    _, question_R = np.unique(part.question_R[keep], return_inverse=True)
    return Part(part.features_RF[keep], part.gains_R[keep], question_R.astype(np.int64))
