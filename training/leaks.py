"""Guards against learning from the future, cheap enough to stand in every training run.

Each compares what a part was given with a second source that cannot share its mistake: states
through Feast with counts of interactions from history, windows with the cut, candidates with the
items' first days, rows of one part with those of another. A guard that fires ends the run: nothing
is registered, and the champion stays.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from nearline.clock import utc
from nearline.contracts.event import Kind
from nearline.errors import PermanentError
from nearline.transforms.buckets import DAY_US
from nearline.transforms.customer import CustomerState
from nearline.transforms.item import ItemState
from nearline.transforms.ranking import Candidate
from training.datasets import Dataset, Interactions
from training.states import States

# Axes: N interactions, Q states or moments asked about, I items, R rows.
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
    """How many interactions of an owner (a customer or an item) were known by an instant."""

    def __init__(self, owner_N: Ints, known_at_us_N: Ints, owners: int) -> None:
        self._times = np.unique(known_at_us_N)
        self._step = len(self._times) + 1
        places = np.searchsorted(self._times, known_at_us_N, side="right")
        self._keys = np.sort(owner_N * self._step + places)
        self._starts = np.searchsorted(self._keys, np.arange(owners) * self._step, side="left")

    def known_by(self, owner_Q: Ints, as_of_us_Q: Ints) -> Ints:
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
        wanted_Q = counts.known_by(rows_Q, instants_Q)
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


def check_learnt(interactions: Interactions, until_us: int, what: str) -> None:
    """Raise Leak where interactions to learn from occurred after the cut."""
    late = int((interactions.occurred_at_us > until_us).sum())
    if late:
        raise Leak(
            f"{what} was given {late:,} interactions after its cut at {_shown(until_us)}, the "
            f"newest of {_shown(int(interactions.occurred_at_us.max()))}"
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


def check_labels(as_of_us_Q: Ints, first_met_us_Q: Ints, what: str) -> None:
    """Raise Leak where something that a label counts was not strictly after the instant."""
    early = int((first_met_us_Q <= as_of_us_Q).sum())
    if early:
        raise Leak(f"{early:,} labels of {what} count what had happened by their instant already")


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
