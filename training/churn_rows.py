"""Churn's lessons: snapshots of the active cohort, and who then stayed silent.

Features are read through Feast as of the snapshot; the label looks only at what occurred
strictly after it, over the whole horizon. A snapshot whose horizon has not ended yet is none.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nearline.transforms import customer
from nearline.transforms.buckets import DAY_US
from nearline.transforms.customer import CUSTOMER_FEATURES
from training.config import ChurnConfig
from training.datasets import Dataset, Interactions
from training.states import States

# Axes: R rows (customers at snapshots), F features.
Ints = npt.NDArray[np.int64]
WARM_UP_DAYS = 7  # Before this, windows and recency of everybody are cut off alike.


@dataclass(frozen=True)
class ChurnRows:
    """Customers at snapshots. `labels_R` is 1 for silence over the whole horizon."""

    features_RF: npt.NDArray[np.float32]
    labels_R: npt.NDArray[np.float64]
    customer_R: Ints
    at_us_R: Ints

    def __len__(self) -> int:
        return len(self.labels_R)

    def at(self, snapshots: Sequence[int]) -> ChurnRows:
        """The rows of some snapshots."""
        return self.pick(np.isin(self.at_us_R, snapshots))

    def pick(self, keep: npt.NDArray[np.bool_]) -> ChurnRows:
        """The marked rows."""
        return ChurnRows(
            self.features_RF[keep], self.labels_R[keep], self.customer_R[keep], self.at_us_R[keep]
        )


def instants(
    dataset: Dataset, known_until_us: int, horizon_days: int, config: ChurnConfig
) -> list[int]:
    """Snapshot instants whose horizon ended by an instant, oldest first; maybe none."""
    newest = known_until_us - horizon_days * DAY_US
    oldest = dataset.from_us + WARM_UP_DAYS * DAY_US
    step_us = int(config.snapshot_step_days * DAY_US)
    found = [newest - number * step_us for number in range(config.max_snapshots)]
    return sorted(at_us for at_us in found if at_us >= oldest)


def cohort(
    interactions: Interactions, at_us: int, horizon_days: int, active_days: int
) -> tuple[Ints, npt.NDArray[np.float64]]:
    """Customers seen within `active_days` up to the instant, and 1 for those silent after it.

    Seen means known by then: who became known only later had no features to be scored by.
    """
    occurred = interactions.occurred_at_us
    before = (interactions.known_at_us <= at_us) & (occurred > at_us - active_days * DAY_US)
    after = (occurred > at_us) & (occurred <= at_us + horizon_days * DAY_US)
    active = np.unique(interactions.customer[before])
    silent = ~np.isin(active, interactions.customer[after])
    return active, silent.astype(np.float64)


def rows_at(
    snapshots: Sequence[int],
    dataset: Dataset,
    states: States,
    horizon_days: int,
    active_days: int,
) -> ChurnRows:
    """All cohorts laid end to end, with their features as of each snapshot."""
    parts = [cohort(dataset.interactions, at, horizon_days, active_days) for at in snapshots]
    customers = np.concatenate([np.zeros(0, np.int64), *(active for active, _ in parts)])
    at_us = np.repeat(np.array(snapshots, np.int64), [len(active) for active, _ in parts])
    known = states.customers([dataset.customer_ids[row] for row in customers], at_us.tolist())
    features = np.array(
        [
            list(customer.finish(state, at).values())
            for state, at in zip(known, at_us.tolist(), strict=True)
        ],
        np.float32,
    ).reshape(len(customers), len(CUSTOMER_FEATURES))
    labels = np.concatenate([np.zeros(0), *(silent for _, silent in parts)])
    return ChurnRows(features, labels, customers, at_us)
