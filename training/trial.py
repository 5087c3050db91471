"""A ranker's lessons and its test, kept with the run, so that another ranker can sit the same.

A registered run keeps them beside its bundle. They hold features and gains by moment, and no
customer's or item's id.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from nearline.errors import PermanentError
from nearline.transforms.ranking import RANKER_FEATURES
from training.ranker_trial import Exam
from training.ranking_rows import Rows

FOLDER = "trial"
_PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class Trial:
    """Lessons to learn from, later ones to stop by, and the test after both."""

    train: Rows
    validation: Rows
    exam: Exam

    def save(self, folder: Path) -> None:
        """Write the trial as arrays into an empty folder."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, rows in zip(_PARTS, (self.train, self.validation, self.exam.rows), strict=True):
            np.savez_compressed(
                folder / f"{name}.npz",
                features=rows.features_RF,
                gains=rows.gains_R,
                question=rows.question_R,
                names=np.array(RANKER_FEATURES),
            )
        np.savez_compressed(folder / "ideal.npz", gains=self.exam.ideal_QK)
        np.savez_compressed(folder / "segments.npz", **self.exam.segments)  # type: ignore[arg-type]


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
        exam = Exam(parts["test"], held["gains"], segments)
    return Trial(parts["train"], parts["validation"], exam)
