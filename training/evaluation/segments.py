"""Results by group: an average hides for whom a model is bad."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from training.sequences import Questions

# Axes: Q questions, S segments.
Floats = npt.NDArray[np.float64]
Marks = npt.NDArray[np.bool_]

_LENGTHS = ((1, 2), (3, 9), (10, None))  # interactions before the question
_CATEGORIES = 5  # the most asked for; more would be a table that nobody reads


@dataclass(frozen=True, slots=True)
class Segment:
    """One group's mean over its questions."""

    value: float
    questions: int


def by_segment(values_Q: Floats, marks: Mapping[str, Marks]) -> dict[str, Segment]:
    """The mean of each marked group that has questions; NaN values are left out of it."""
    found: dict[str, Segment] = {}
    for name, marked_Q in marks.items():
        own = values_Q[marked_Q & ~np.isnan(values_Q)]
        if len(own):
            found[name] = Segment(float(own.mean()), len(own))
    return found


def of_questions(
    questions: Questions,
    new_Q: Marks,
    warm_I: Marks,
    categories: Sequence[str],
) -> dict[str, Marks]:
    """Who asks and for what: new or returning customer, length of history, category, cold item.

    `new_Q` marks questions of customers that nothing was learnt from. A target that is not in
    `warm_I` is cold. The names are those of figures: lower case, words joined by _.
    """
    lengths_Q = (questions.items_WL > 0).sum(axis=1)
    marks = {"customer_new": new_Q, "customer_returning": ~new_Q}
    for low, high in _LENGTHS:
        name = f"history_{low}_{high}" if high else f"history_{low}_up"
        marks[name] = (lengths_Q >= low) & (lengths_Q <= (high or np.inf))
    marks["item_cold"] = ~warm_I[questions.targets_W]
    wanted_Q = np.asarray(categories)[questions.targets_W]
    names, counts = np.unique(wanted_Q[wanted_Q != ""], return_counts=True)
    for place in np.argsort(-counts, kind="stable")[:_CATEGORIES]:
        word = "".join(c if c.isascii() and c.isalnum() else "_" for c in str(names[place]))
        marks[f"category_{word.lower()}"] = wanted_Q == names[place]
    return marks
