"""The test that a run's encoder sat, kept with the run, so that another encoder can sit the same.

It holds histories as item rows and no customer's id.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from training.baselines.scorer import knowing, ranks
from training.sequences import Questions

# Axes: Q questions, L places in the history (oldest first), I items, D dimensions.
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
FloatID = npt.NDArray[np.float32]
Queries = Callable[[Ints, Ints], npt.NDArray[np.float32]]  # (Q, L) items, kinds -> (Q, D)
FILE = "encoder.npz"


@dataclass(frozen=True)
class EncoderTrial:
    """Questions after `learnt_until_us`; what arrived later is unknown and counts as missed.

    `places_Q` are the targets' places by the run's own encoder, which had learnt until then.
    """

    questions: Questions
    known_I: npt.NDArray[np.bool_]
    places_Q: Ints
    learnt_until_us: int

    def places(self, queries: Queries, vectors_ID: FloatID) -> Ints:
        """(Q,): the targets' places, from 1, by another encoder; all known items compete."""

        def scores(asked: Questions) -> npt.NDArray[np.float32]:
            return queries(asked.items_WL, asked.kinds_WL) @ vectors_ID.T

        return ranks(self.questions, knowing(scores, self.known_I))

    def save(self, folder: Path) -> None:
        """Write the trial as arrays into a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        asked = self.questions
        np.savez_compressed(
            folder / FILE,
            items=asked.items_WL,
            kinds=asked.kinds_WL,
            targets=asked.targets_W,
            asked_at_us=asked.asked_at_us,
            seen=np.concatenate([np.zeros(0, np.int64), *asked.seen]),
            seen_counts=np.array([len(one) for one in asked.seen], np.int64),
            known=self.known_I,
            places=self.places_Q,
            learnt_until_us=np.array(self.learnt_until_us),
        )


def load(folder: Path) -> EncoderTrial:
    """The trial of a folder."""
    with np.load(folder / FILE, allow_pickle=False) as held:
        seen = np.split(held["seen"], np.cumsum(held["seen_counts"])[:-1])
        questions = Questions(
            held["items"], held["kinds"], held["targets"], held["asked_at_us"], tuple(seen)
        )
        return EncoderTrial(questions, held["known"], held["places"], int(held["learnt_until_us"]))
