"""Guards against learning from the future, cheap enough to stand in every training run.

Each compares what a part is given with a second source that does not share its mistake:

- states through Feast, with counts of interactions from history (`GuardedStates`);
- what an encoder learns from, with counts by each customer of what was known at its cut;
- candidates, with the days on which items came;
- labels, with counts of what each customer met of each item within the window;
- rows that judge a score, with those that taught or calibrated it.

A guard that fires ends the run: nothing is registered, and the champion stays.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from nearline.clock import utc
from nearline.contracts.event import Kind
from nearline.errors import PermanentError
from nearline.transforms.buckets import DAY_US, HOUR_US
from nearline.transforms.customer import CustomerState
from nearline.transforms.item import ItemState
from nearline.transforms.ranking import Candidate
from training.datasets import Dataset, Interactions
from training.states import States

# Axes: N interactions, C customers, I items, L labels, P pairs of customer and item,
# Q states or moments asked about, R rows.
Ints = npt.NDArray[np.int64]

_COUNTED = (Kind.VIEW, Kind.CART, Kind.PURCHASE)  # What a state counts; favourites it does not.


class Leak(PermanentError):
    """Something was about to learn, or to be judged, from what it could not have known."""

    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__(
            f"training stops, since it would learn from what nobody knew then: {what}. Nothing was "
            "registered and the champion stays. If history was imported or removed while this "
            "ran, run it again; otherwise this is a bug in how the data were cut."
        )


class Counts:
    """How many interactions of an owner (a customer, an item, ...) there were by an instant."""

    def __init__(self, owner_N: Ints, at_us_N: Ints, owners: int) -> None:
        self._times = np.unique(at_us_N)
        self._step = len(self._times) + 1
        places = np.searchsorted(self._times, at_us_N, side="right")
        self._keys = np.sort(owner_N * self._step + places)
        self._starts = np.searchsorted(self._keys, np.arange(owners) * self._step, side="left")

    def by(self, owner_Q: Ints, as_of_us_Q: Ints) -> Ints:
        """(Q,): the counts; 0 for an owner of -1."""
        places = np.searchsorted(self._times, as_of_us_Q, side="right")
        upto = np.searchsorted(self._keys, owner_Q * self._step + places, side="right")
        counts: Ints = np.where(owner_Q >= 0, upto - self._starts[owner_Q], 0)
        return counts


class GuardedStates:
    """States that are counted before anybody learns from them.

    A state sums its events, so one event too many (known later, or occurred after the label) or
    one too few shows in its totals. The expected totals come from history by another road: the
    dataset, which no feature store has touched.
    """

    def __init__(self, states: States, dataset: Dataset) -> None:
        self._states = states
        data = dataset.interactions
        counted = data.pick(np.isin(data.kind, _COUNTED))
        self._row_of = {who: row for row, who in enumerate(dataset.customer_ids)}
        self._index_of = dataset.items.index_of
        self._of_customer = Counts(counted.customer, counted.known_at_us, len(self._row_of))
        self._of_item = Counts(counted.item, counted.known_at_us, len(dataset.items))

    def customers(self, ids: Sequence[str], as_of_us: Sequence[int]) -> list[CustomerState]:
        found = self._states.customers(ids, as_of_us)
        rows = np.array([self._row_of.get(one, -1) for one in ids], np.int64)
        self._check("customers", found, self._of_customer, rows, as_of_us)
        return found

    def items(self, ids: Sequence[str], as_of_us: Sequence[int]) -> list[ItemState]:
        found = self._states.items(ids, as_of_us)
        rows = np.array([self._index_of.get(one, -1) for one in ids], np.int64)
        self._check("items", found, self._of_item, rows, as_of_us)
        return found

    def _check(
        self,
        what: str,
        found: Sequence[CustomerState] | Sequence[ItemState],
        counts: Counts,
        rows_Q: Ints,
        as_of_us: Sequence[int],
    ) -> None:
        instants_Q = np.array(as_of_us, np.int64)
        check_known(instants_Q, np.array([one.last_seen_us for one in found], np.int64), what)
        held_Q = np.array(
            [one.views_total + one.carts_total + one.purchases_total for one in found], np.int64
        )
        wanted_Q = counts.by(rows_Q, instants_Q)
        odd_Q = np.flatnonzero(held_Q != wanted_Q)
        if len(odd_Q):
            first = int(odd_Q[0])
            raise Leak(
                f"the features of {len(odd_Q):,} of {len(found):,} {what} count other events than "
                f"were known at their instant; as of {_shown(instants_Q[first])}, one counts "
                f"{held_Q[first]:,} where {wanted_Q[first]:,} were known"
            )


def check_known(as_of_us_Q: Ints, newest_us_Q: Ints, what: str) -> None:
    """Raise Leak where the newest event behind a feature is later than the feature's instant."""
    late_Q = np.flatnonzero(newest_us_Q > as_of_us_Q)
    if len(late_Q):
        first = int(late_Q[0])
        raise Leak(
            f"the features of {len(late_Q):,} {what} hold an event after their instant; one as of "
            f"{_shown(as_of_us_Q[first])} holds one of {_shown(newest_us_Q[first])}"
        )


def check_learnt(learnt: Interactions, dataset: Dataset, until_us: int, what: str) -> None:
    """Raise Leak unless a learner is given what was known at its cut, no more and no less.

    How much that is of each customer is counted from the whole of the dataset.
    """
    data, customers = dataset.interactions, len(dataset.customer_ids)
    held_C = np.bincount(learnt.customer, minlength=customers)
    known_C = Counts(data.customer, data.known_at_us, customers).by(
        np.arange(customers), np.full(customers, until_us)
    )
    odd_C = np.flatnonzero(held_C != known_C)
    if len(odd_C):
        raise Leak(
            f"{what} was given {held_C.sum():,} interactions where {known_C.sum():,} were known "
            f"at its cut, {_shown(until_us)}; {len(odd_C):,} customers have others than were known"
        )


def check_candidates(
    candidates: Sequence[Sequence[Candidate]],
    as_of_us: Sequence[int],
    dataset: Dataset,
    bundle_until_us: int,
) -> None:
    """Raise Leak where retrieval names what its bundle, or the shop, did not have yet.

    The encoder's index is as old as the bundle; every other source may name what had arrived by
    the moment, as new arrivals do.
    """
    for found, at_us in zip(candidates, as_of_us, strict=True):
        for one in found:
            came_us = dataset.first_seen_us[one.item_index]
            limit_us = min(at_us, bundle_until_us) if "encoder" in one.ranks else at_us
            if came_us > limit_us:
                sources = ", ".join(one.ranks)
                raise Leak(
                    f"retrieval ({sources}) named an item at {_shown(at_us)} that was first seen "
                    f"at {_shown(came_us)}, with a bundle made at {_shown(bundle_until_us)}"
                )


def check_labels(
    labels: Sequence[tuple[int, int, int]],
    dataset: Dataset,
    window_us: int,
    until_us: int,
    what: str,
) -> None:
    """Raise Leak where a label is not of what was met after its instant, within the window.

    And where a window has not ended by `until_us`, when judging begins or the part ends. A label
    is a customer, an item and an instant: that one met that within the window after it.
    """
    customer_L, item_L, as_of_us_L = np.array(labels, np.int64).reshape(-1, 3).T
    late = int((as_of_us_L + window_us > until_us).sum())
    if late:
        raise Leak(f"{late:,} labels of {what} look beyond {_shown(until_us)}, where they must end")
    data, items = dataset.interactions, len(dataset.items)
    pairs_P, own_L = np.unique(customer_L * items + item_L, return_inverse=True)
    pair_N = data.customer * items + data.item
    asked_N = np.isin(pair_N, pairs_P)
    met = Counts(
        np.searchsorted(pairs_P, pair_N[asked_N]), data.occurred_at_us[asked_N], len(pairs_P)
    )
    odd = int((met.by(own_L, as_of_us_L + window_us) == met.by(own_L, as_of_us_L)).sum())
    if odd:
        raise Leak(
            f"{odd:,} of {len(own_L):,} labels of {what} are not of what was met within "
            f"{window_us / HOUR_US:g} hours after their instant"
        )


def check_apart(
    taught: tuple[Ints, Ints], judged: tuple[Ints, Ints], horizon_us: int, what: str
) -> None:
    """Raise Leak where rows that teach (or calibrate) and rows that judge are not apart.

    Both are (customers, snapshot instants). They are apart if no customer is in both, or if every
    teaching label had ended when the first judging row was taken.
    """
    if not len(taught[0]) or not len(judged[0]):
        return
    ended_us, begins_us = int(taught[1].max()) + horizon_us, int(judged[1].min())
    both = len(np.intersect1d(taught[0], judged[0]))
    if both and ended_us > begins_us:
        raise Leak(
            f"{what}: {both:,} customers are both learnt from and judged, and labels of "
            f"{horizon_us / DAY_US:g} days from {_shown(int(taught[1].max()))} end after "
            f"{_shown(begins_us)}, when judging begins"
        )


def _shown(instant_us: int) -> str:
    return f"{utc(int(instant_us)):%Y-%m-%d %H:%M:%S.%f}"
