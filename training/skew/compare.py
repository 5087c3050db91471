"""Logged vectors against offline ones, answer by answer, bit by bit.

Offline is Feast's point-in-time join as of the very instant of the answer, which is what training
learns from. Where a row differs, its customer and its item are folded again from history, twice:
what the store had applied by the record's own positions, and what was known. Serving is right if
the logged row is the first, offline rows are right if they are the second; if both are, the row
differs by events that were under way, and the answer counts as delayed. All else is a mismatch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt

from nearline.served import FEATURES_HASH, Served
from nearline.transforms import customer, item
from nearline.transforms.customer import CustomerState
from nearline.transforms.item import ItemState
from nearline.transforms.ranking import RANKER_FEATURES
from training.skew.folding import Happenings, folded, read
from training.skew.vectors import FloatCF, candidates_of, differing, recomputed
from training.states import States

# Axes: C candidates, F ranker features.
_AT_ONCE = 50  # Answers in one join: about ten thousand item states.


@dataclass(frozen=True, slots=True)
class Example:
    """The first difference met in one feature. It names neither a customer nor an item."""

    side: str  # who is wrong: "serving" or "offline"
    found: float
    expected: float


@dataclass
class Skew:
    """What a comparison found."""

    answers: int = 0
    rows: int = 0
    values: int = 0
    exact: int = 0  # answers equal to the offline rows of their instant
    delayed: int = 0  # equal to what the store had applied; some events were under way
    delays_us: list[int] = field(default_factory=list)
    other_features: int = 0  # logged by code with other features: not comparable
    unreadable: int = 0
    too_new: int = 0  # history does not reach their instant yet
    mismatched: int = 0  # answers
    by_feature: Counter[str] = field(default_factory=Counter)  # values
    examples: dict[str, Example] = field(default_factory=dict)

    @property
    def holds(self) -> bool:
        return not self.mismatched

    def blame(self, side: str, found_CF: FloatCF, expected_CF: FloatCF) -> bool:
        """Note where one matrix is not what it should be; whether there is such a place."""
        wrong_CF = differing(found_CF, expected_CF)
        for place in np.flatnonzero(wrong_CF.any(axis=0)).tolist():
            name = RANKER_FEATURES[place]
            self.by_feature[name] += int(wrong_CF[:, place].sum())
            row = int(wrong_CF[:, place].argmax())
            pair = float(found_CF[row, place]), float(expected_CF[row, place])
            self.examples.setdefault(name, Example(side, *pair))
        return bool(wrong_CF.any())


@dataclass(frozen=True, slots=True)
class _Doubt:
    """An answer that is not what offline rows say, with those rows' states."""

    record: Served
    logged_CF: FloatCF
    state: CustomerState
    items: tuple[ItemState, ...]
    rows_C: npt.NDArray[np.int64]  # the rows that differ


def compare(
    records: Iterable[Served],
    states: States,
    history: Path,
    covered_until_us: int,
    progress: Callable[[int], object] = lambda answers: None,
) -> Skew:
    """Compare every record whose instant history covers (`training.skew.coverage`)."""
    skew = Skew()
    doubts: list[_Doubt] = []
    usable = _usable(records, covered_until_us, skew)
    while part := list(islice(usable, _AT_ONCE)):
        doubts += _first_look(part, states, skew)
        progress(len(part))
    if doubts:
        _second_look(doubts, _happenings(doubts, history), skew)
    return skew


def _usable(
    records: Iterable[Served], covered_until_us: int, skew: Skew
) -> Iterator[tuple[Served, FloatCF]]:
    for record in records:
        if record.features_hash != FEATURES_HASH:
            skew.other_features += 1
        elif record.as_of_us > covered_until_us:
            skew.too_new += 1
        else:
            try:
                logged_CF = record.matrix()
            except ValueError:
                skew.unreadable += 1
                continue
            skew.answers += 1
            skew.rows += len(logged_CF)
            skew.values += logged_CF.size
            yield record, logged_CF


def _first_look(
    part: Sequence[tuple[Served, FloatCF]], states: States, skew: Skew
) -> Iterator[_Doubt]:
    instants = [record.as_of_us for record, _ in part]
    known = states.customers([record.customer_id for record, _ in part], instants)
    items = iter(
        states.items(
            [item_id for record, _ in part for item_id in record.item_ids],
            [record.as_of_us for record, _ in part for _ in record.item_ids],
        )
    )
    for (record, logged_CF), state in zip(part, known, strict=True):
        own = tuple(islice(items, len(record.item_ids)))
        offline_CF = recomputed(record, candidates_of(record, logged_CF), state, own)
        rows_C = np.flatnonzero(differing(logged_CF, offline_CF).any(axis=1))
        if len(rows_C):
            yield _Doubt(record, logged_CF, state, own, rows_C)
        else:
            skew.exact += 1


def _happenings(doubts: Sequence[_Doubt], history: Path) -> Happenings:
    return read(
        history,
        {one.record.customer_id for one in doubts},
        {one.record.item_ids[place] for one in doubts for place in one.rows_C.tolist()},
        max(one.record.as_of_us for one in doubts),
    )


def _second_look(doubts: Sequence[_Doubt], happenings: Happenings, skew: Skew) -> None:
    for one in doubts:
        record, at_us = one.record, one.record.as_of_us
        position = [record.customer_position] if record.customer_position else []
        who = folded(happenings.customers[record.customer_id], position, at_us, customer.EMPTY)
        applied, known, delays_us = list(one.items), list(one.items), [who.delay_us]
        for place in one.rows_C.tolist():
            found = folded(
                happenings.items[record.item_ids[place]],
                record.item_positions[place],
                at_us,
                item.EMPTY,
            )
            applied[place], known[place] = found.applied, found.known
            delays_us.append(found.delay_us)
        candidates = candidates_of(record, one.logged_CF)
        offline_CF = recomputed(record, candidates, one.state, one.items)
        served_wrong = skew.blame(
            "serving", one.logged_CF, recomputed(record, candidates, who.applied, applied)
        )
        offline_wrong = skew.blame(
            "offline", offline_CF, recomputed(record, candidates, who.known, known)
        )
        if served_wrong or offline_wrong:
            skew.mismatched += 1
        else:
            skew.delayed += 1
            skew.delays_us.append(max(delays_us))
