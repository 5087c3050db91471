"""All that a bundle foretells of customers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from nearline.transforms.lifetime import LifetimeModel
from training.scores.fit import ScoreModel


@dataclass(frozen=True)
class Scores:
    """The scores learnt, and what goes with them; what the history could not teach is missing.

    `category_shares` is the popularity that `transforms.demand` asks for, as of the end of the
    history; empty where no purchase has a category.
    """

    models: Sequence[ScoreModel]
    lifetime: LifetimeModel | None
    category_shares: Mapping[str, float]
