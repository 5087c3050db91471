"""What a score learns from: subjects at snapshots, and what became of each.

This is the one place where instants meet: what is known by a snapshot makes cohort and
features, what occurred strictly after it, over the whole horizon, makes the label. A snapshot
whose horizon has not ended is none.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nearline.transforms.buckets import DAY_US
from nearline.transforms.customer import CustomerState
from training.config import ChurnConfig
from training.datasets import Dataset, Interactions
from training.states import States

# Axes: R rows, F features, N interactions.
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
WARM_UP_DAYS = 7  # Before this, windows and recency of everybody are cut off alike.
_AT_ONCE = 20_000  # states in memory


@dataclass(frozen=True)
class Rows:
    """Subjects at snapshots. `labels_R` is 1 where it came to pass.

    `customer_R` says whose row it is: a customer's rows are never parted between learning and
    judging on the same days.
    """

    features_RF: npt.NDArray[np.float32]
    labels_R: Floats
    customer_R: Ints
    at_us_R: Ints

    def __len__(self) -> int:
        return len(self.labels_R)

    def at(self, snapshots: Sequence[int]) -> Rows:
        """The rows of some snapshots."""
        return self.pick(np.isin(self.at_us_R, snapshots))

    def pick(self, keep: npt.NDArray[np.bool_]) -> Rows:
        """The marked rows."""
        return Rows(
            self.features_RF[keep], self.labels_R[keep], self.customer_R[keep], self.at_us_R[keep]
        )

    @property
    def fewest(self) -> int:
        """The number of rows of the rarer outcome."""
        came = int(self.labels_R.sum())
        return min(came, len(self) - came)


def joined(parts: Sequence[Rows], features: int) -> Rows:
    """Rows laid end to end; none at all is allowed."""
    return Rows(
        np.concatenate([np.zeros((0, features), np.float32), *(p.features_RF for p in parts)]),
        np.concatenate([np.zeros(0), *(part.labels_R for part in parts)]),
        np.concatenate([np.zeros(0, np.int64), *(part.customer_R for part in parts)]),
        np.concatenate([np.zeros(0, np.int64), *(part.at_us_R for part in parts)]),
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


def known_by(interactions: Interactions, at_us: int, days: float) -> Interactions:
    """What occurred within so many days up to an instant, and was known by then.

    Who became known only later had no features to be scored by.
    """
    occurred = interactions.occurred_at_us
    known = interactions.known_at_us <= at_us
    return interactions.pick(known & (occurred > at_us - days * DAY_US) & (occurred <= at_us))


def after(interactions: Interactions, at_us: int, horizon_days: float) -> Interactions:
    """What occurred strictly after an instant, up to the end of the horizon: labels see this."""
    occurred = interactions.occurred_at_us
    return interactions.pick((occurred > at_us) & (occurred <= at_us + horizon_days * DAY_US))


def states_at(
    customers: Ints, at_us: int, dataset: Dataset, states: States
) -> Iterator[tuple[int, CustomerState]]:
    """Each customer's row and state as of one instant; some thousands are held at a time."""
    for start in range(0, len(customers), _AT_ONCE):
        part = customers[start : start + _AT_ONCE].tolist()
        known = states.customers([dataset.customer_ids[row] for row in part], [at_us] * len(part))
        yield from zip(part, known, strict=True)
