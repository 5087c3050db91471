"""A ranker's lessons and its test, kept with the run, so that another ranker can sit the same.

A registered run keeps them beside its bundle. They hold features and gains by moment, and no
customer's or item's id.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nearline.errors import PermanentError
from nearline.transforms.ranking import RANKER_FEATURES
from training.metrics import ndcg_at_k
from training.ranker_trial import SEGMENTS
from training.ranking_rows import Question, Rows, ideal_gains

# Axes: Q questions, R rows (question by question, in retrieval's order), K places, F features.
Floats = npt.NDArray[np.float64]
FOLDER = "trial"
SHOWN = 10
_PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class Trial:
    """Lessons to learn from, later ones to stop by, and the test after both.

    `ideal_QK` holds, of each test question, the gains of all that was met, best first; what
    retrieval missed counts against every ranker alike.
    """

    train: Rows
    validation: Rows
    test: Rows
    ideal_QK: Floats
    segments: Mapping[str, npt.NDArray[np.bool_]] = field(default_factory=dict)
    """Which test questions are of which kind of customer; (Q,) each."""

    @classmethod
    def of(cls, train: Rows, validation: Rows, test: Rows, questions: Sequence[Question]) -> Trial:
        inside = {
            name: np.array([belongs(one) for one in questions], bool)
            for name, belongs in SEGMENTS.items()
        }
        return cls(train, validation, test, ideal_gains(questions, SHOWN), inside)

    @property
    def questions(self) -> int:
        return len(self.ideal_QK)

    def ndcg(self, scores_R: npt.NDArray[np.float32]) -> Floats:
        """(Q,): NDCG@10 of each test question ordered by scores; ties keep retrieval's order."""
        return self._judged(-np.asarray(scores_R, np.float64))

    def ndcg_of_source(self, source: str) -> Floats:
        """(Q,): the same for what one source named, in its order; the rest is not shown."""
        places = self.test.features_RF[:, RANKER_FEATURES.index(f"{source}_rank")]
        return self._judged(places.astype(np.float64))

    def ndcg_of_retrieval(self) -> Floats:
        """(Q,): the same in the order of retrieval."""
        return self._judged(np.zeros(len(self.test.gains_R)))

    def _judged(self, key_R: Floats) -> Floats:
        """NDCG@10 with rows in rising order of a key; NaN keys are not shown."""
        cuts = np.searchsorted(self.test.question_R, np.arange(self.questions + 1))
        gains_QK = np.zeros((self.questions, SHOWN))
        for number in range(self.questions):
            part = slice(cuts[number], cuts[number + 1])
            order = np.argsort(key_R[part], kind="stable")
            order = order[~np.isnan(key_R[part][order])][:SHOWN]
            gains_QK[number, : len(order)] = self.test.gains_R[part][order]
        return ndcg_at_k(gains_QK, self.ideal_QK, SHOWN)

    def save(self, folder: Path) -> None:
        """Write the trial as arrays into an empty folder."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in _PARTS:
            rows: Rows = getattr(self, name)
            np.savez_compressed(
                folder / f"{name}.npz",
                features=rows.features_RF,
                gains=rows.gains_R,
                question=rows.question_R,
                names=np.array(RANKER_FEATURES),
            )
        np.savez_compressed(folder / "ideal.npz", gains=self.ideal_QK)
        np.savez_compressed(folder / "segments.npz", **self.segments)  # type: ignore[arg-type]


def load(folder: Path) -> Trial:
    """The trial of a folder; raises PermanentError when its features are not this code's."""
    parts: dict[str, Rows] = {}
    for name in _PARTS:
        with np.load(folder / f"{name}.npz", allow_pickle=False) as held:
            odd = sorted(set(held["names"].tolist()) ^ set(RANKER_FEATURES))
            if tuple(held["names"].tolist()) != RANKER_FEATURES:
                raise PermanentError(
                    f"this trial was kept by code with other features ({odd[:5] or 'in order'}): "
                    "train again with `nearline train`"
                )
            parts[name] = Rows(held["features"], held["gains"], held["question"])
    with np.load(folder / "segments.npz", allow_pickle=False) as held:
        segments = {name: held[name] for name in held.files}
    with np.load(folder / "ideal.npz", allow_pickle=False) as held:
        return Trial(parts["train"], parts["validation"], parts["test"], held["gains"], segments)
