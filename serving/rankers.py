"""The bundle's ranker as serving holds it: read in any form, and tried before it may answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from nearline import rankers
from nearline.contracts.bundle import BundleRefused, Manifest
from nearline.rankers import Ranker, booster, scores_of
from nearline.transforms import customer, item
from nearline.transforms.ranking import Candidate, assemble, item_rows


def read(folder: Path, version: str, manifest: Manifest) -> Ranker | None:
    """The bundle's ranker, None where it brings none."""
    return None if manifest.ranker is None else rankers.read(folder, manifest.ranker)


def smoke(version: str, ranker: Ranker) -> None:
    """Score two candidates of a stranger; what cannot do this must not serve."""
    two = [Candidate(name, row, "", {}, {}) for row, name in enumerate(("one item", "another"))]
    rows = assemble(customer.EMPTY, two, item_rows([item.EMPTY] * len(two), 0), 0)
    scores = ranker.scores(rows)
    if scores.shape != (len(two),):
        raise BundleRefused(version, f"its ranker answers {scores.shape} for {len(two)} rows")
    if not np.isfinite(scores).all():
        raise BundleRefused(version, "its ranker's score is not finite")


__all__ = ["Ranker", "booster", "read", "scores_of", "smoke"]
