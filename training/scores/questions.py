"""What is asked of the future: each question has its cohort, its features and its label."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt

from nearline.contracts.bundle import Task
from nearline.contracts.event import Kind
from nearline.transforms.buckets import DAY_US
from nearline.transforms.customer import CUSTOMER_FEATURES
from nearline.transforms.score_rows import ROW_FEATURES, customer_row, demand_rows
from training.datasets import Dataset, Interactions
from training.scores.rows import Ints, Rows, after, known_by, states_at
from training.states import States

# Axes: R rows (subjects at one snapshot).
Floats = npt.NDArray[np.float64]
_EVER_DAYS = 36_500.0
POPULAR_DAYS = 7.0  # how far back the popularity of a category looks


@dataclass(frozen=True, slots=True)
class Question(ABC):
    """One kind of score over one horizon.

    Only customers seen within `active_days` before the snapshot are asked about. `simple` names
    the simple rule that must be beaten.
    """

    horizon_days: int
    active_days: int
    task: ClassVar[Task]
    features: ClassVar[tuple[str, ...]] = CUSTOMER_FEATURES
    simple: ClassVar[str] = "recency"

    @property
    def name(self) -> str:
        return f"{self.task.value}_{self.horizon_days}d"

    @abstractmethod
    def rows_at(self, at_us: int, dataset: Dataset, states: States) -> Rows: ...

    @abstractmethod
    def simply(self, rows: Rows) -> Floats:
        """(R,): the simple rule's own score, higher where it expects a 1; any scale."""


class OfCustomers(Question):
    """A question with one row a customer."""

    @abstractmethod
    def cohort(self, interactions: Interactions, at_us: int) -> tuple[Ints, Floats]:
        """Who is asked about, and 1 for those of whom it came true."""

    def rows_at(self, at_us: int, dataset: Dataset, states: States) -> Rows:
        customers, labels_R = self.cohort(dataset.interactions, at_us)
        features = [
            customer_row(state, at_us) for _, state in states_at(customers, at_us, dataset, states)
        ]
        return Rows(
            np.array(features, np.float32).reshape(len(customers), len(CUSTOMER_FEATURES)),
            labels_R,
            customers,
            np.full(len(customers), at_us, np.int64),
        )


class Churn(OfCustomers):
    """Will a customer who was lately active be silent over the whole horizon?"""

    task = Task.CHURN

    def cohort(self, interactions: Interactions, at_us: int) -> tuple[Ints, Floats]:
        """Who was active, and 1 for those silent afterwards."""
        active = np.unique(known_by(interactions, at_us, self.active_days).customer)
        silent = ~np.isin(active, after(interactions, at_us, self.horizon_days).customer)
        return active, silent.astype(np.float64)

    def simply(self, rows: Rows) -> Floats:
        """The longer unseen, the likelier gone."""
        return _column(rows, self.features, "seen_age_hours")


class Repurchase(OfCustomers):
    """Will a customer who has bought before, and was lately active, buy again?"""

    task = Task.REPURCHASE

    def cohort(self, interactions: Interactions, at_us: int) -> tuple[Ints, Floats]:
        """Active customers with a purchase before, and 1 for those with another afterwards."""
        active = np.unique(known_by(interactions, at_us, self.active_days).customer)
        bought = purchases(interactions)
        known = np.unique(known_by(bought, at_us, _EVER_DAYS).customer)
        asked = np.intersect1d(active, known)
        again = np.isin(asked, after(bought, at_us, self.horizon_days).customer)
        return asked, again.astype(np.float64)

    def simply(self, rows: Rows) -> Floats:
        """The later the last purchase, the likelier another."""
        return -np.nan_to_num(_column(rows, self.features, "purchase_age_hours"), nan=1e9)


class CategoryDemand(Question):
    """Will a customer who was lately active buy in a category that one has met?

    A row is a customer with one of the categories among the interactions that the state
    remembers.
    """

    task = Task.CATEGORY_DEMAND
    features = ROW_FEATURES[Task.CATEGORY_DEMAND]
    simple = "last_bought"

    def rows_at(self, at_us: int, dataset: Dataset, states: States) -> Rows:
        interactions = dataset.interactions
        active = np.unique(known_by(interactions, at_us, self.active_days).customer)
        popular = category_shares(dataset, at_us)
        then = after(purchases(interactions), at_us, self.horizon_days)
        # What was bought, as it was known when the horizon ended.
        categories = dataset.categories_by(at_us + self.horizon_days * DAY_US)
        wanted = {
            (row, categories[item])
            for row, item in zip(then.customer.tolist(), then.item.tolist(), strict=True)
        }
        features: list[tuple[float, ...]] = []
        whose: list[int] = []
        labels: list[float] = []
        for row, state in states_at(active, at_us, dataset, states):
            for category, values in demand_rows(state, at_us, popular).items():
                features.append(values)
                whose.append(row)
                labels.append(float((row, category) in wanted))
        return Rows(
            np.array(features, np.float32).reshape(len(whose), len(self.features)),
            np.array(labels, np.float64),
            np.array(whose, np.int64),
            np.full(len(whose), at_us, np.int64),
        )

    def simply(self, rows: Rows) -> Floats:
        """The category of the last purchase first, then by how popular a category is."""
        last = _column(rows, self.features, "category_bought_last")
        return last + _column(rows, self.features, "category_popularity")


def category_shares(dataset: Dataset, at_us: int) -> dict[str, float]:
    """Each category's share of the purchases of the last days, as known at an instant.

    Purchases of items without a category are left out of both sides.
    """
    bought = known_by(purchases(dataset.interactions), at_us, POPULAR_DAYS)
    categories = dataset.categories_by(at_us)
    names = [categories[item] for item in bought.item.tolist() if categories[item]]
    return {name: count / len(names) for name, count in sorted(Counter(names).items())}


def purchases(interactions: Interactions) -> Interactions:
    """Only what was bought."""
    return interactions.pick(interactions.kind == int(Kind.PURCHASE))


def _column(rows: Rows, features: tuple[str, ...], name: str) -> Floats:
    return rows.features_RF[:, features.index(name)].astype(np.float64)
