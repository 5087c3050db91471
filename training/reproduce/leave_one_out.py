"""Public sequences that know an order but no times: each customer's last item is the test.

The items before it are the history; a few customers' second-last items choose the epoch and are
not learnt from. Times are places: the n-th interaction of a file occurs at n.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt

from training.datasets import Interactions
from training.reproduce.comparison import Place
from training.sequences import Questions, padded

Ints = npt.NDArray[np.int64]
# (first place of the history, place behind its last, item row that is asked for)
Asked = tuple[int, int, int]

_VALIDATION_CUSTOMERS = 2_000
_VALIDATION_SESSIONS = 5_000


@dataclass(frozen=True)
class LeaveOneOut:
    """One data set. `learn` is everything but the test; `train` also lacks what validates.

    With `repeats`, items of the history compete and may be the answer, as in sessions.
    """

    name: str
    items: int
    learn: Interactions
    train: Interactions
    repeats: bool
    _sequence: Ints  # item rows that the histories below point into
    _validation: Sequence[Asked]
    _test: Sequence[Asked]

    def validation(self, length: int) -> Questions:
        """Which item comes next, for choosing; histories of at most `length`."""
        return self._questions(self._validation, length)

    def test(self, length: int) -> Questions:
        """Which item comes next, for judging; histories of at most `length`."""
        return self._questions(self._test, length)

    def _questions(self, asked: Sequence[Asked], length: int) -> Questions:
        items = np.zeros((len(asked), length), np.int64)
        for row, (start, end, _) in enumerate(asked):
            items[row] = padded(self._sequence[max(start, end - length) : end] + 1, length)
        nothing = np.zeros(0, np.int64)
        return Questions(
            items,
            (items > 0).astype(np.int64),  # every interaction counts as a view
            np.array([target for _, _, target in asked], np.int64),
            np.zeros(len(asked), np.int64),
            tuple(
                nothing if self.repeats else np.unique(self._sequence[start:end])
                for start, end, _ in asked
            ),
        )


def movielens_1m(place: Place) -> LeaveOneOut:
    """MovieLens-1M as in SASRec's and gSASRec's repositories; 2,000 customers validate.

    gSASRec's own 512 differ too much among themselves: which epoch they chose was chance.
    """
    customer, item = _columns(
        "SELECT sasrec_user, sasrec_item FROM read_parquet(?) WHERE sasrec_item IS NOT NULL "
        "ORDER BY sasrec_user, seq",
        place.data / "movielens_1m" / "ratings.parquet",
    )
    return _of_sequences("movielens_1m", customer, item, _drawn(customer))


def beauty(place: Place) -> LeaveOneOut:
    """Amazon Beauty, 5-core, in the order of its file; 2,000 customers validate."""
    customer, item = _columns(
        "SELECT user_id, item FROM (SELECT user_id, unnest(items) AS item, "
        "generate_subscripts(items, 1) AS place FROM read_parquet(?)) ORDER BY user_id, place",
        place.data / "amazon_beauty_5core" / "sequences.parquet",
    )
    return _of_sequences("beauty", customer, item, _drawn(customer))


def retailrocket_sessions(place: Place) -> LeaveOneOut:
    """RetailRocket view sessions in COTREC's split; the last 5,000 training sessions validate."""
    folder = place.data / "retailrocket_sessions"
    session, item = _columns(
        "SELECT session_index, item FROM (SELECT session_index, unnest(items) AS item, "
        "generate_subscripts(items, 1) AS place FROM read_parquet(?)) "
        "ORDER BY session_index, place",
        folder / "train_sessions.parquet",
    )
    number, clicked = _columns(
        "SELECT number, item FROM (SELECT number, unnest(list_append(prefix, next_item)) AS item, "
        "generate_subscripts(list_append(prefix, next_item), 1) AS place FROM (SELECT prefix, "
        "next_item, row_number() OVER () AS number FROM read_parquet(?))) ORDER BY number, place",
        folder / "test_samples.parquet",
    )
    ids = np.unique(item)
    rows, asked_rows = np.searchsorted(ids, item), np.searchsorted(ids, clicked)
    learn = _interactions(session, rows)
    ranges = learn.ranges()[-_VALIDATION_SESSIONS:]
    kept = np.ones(len(learn), bool)
    kept[[end - 1 for _, _, end in ranges]] = False
    offset = len(rows)
    return LeaveOneOut(
        name="retailrocket_sessions",
        items=len(ids),
        learn=learn,
        train=learn.pick(kept),
        repeats=True,
        _sequence=np.concatenate([rows, asked_rows]),
        _validation=[(start, end - 1, int(rows[end - 1])) for _, start, end in ranges],
        _test=[
            (offset + start, offset + end - 1, int(asked_rows[end - 1]))
            for _, start, end in _interactions(number, asked_rows).ranges()
        ],
    )


def _drawn(customer: Ints) -> set[int]:
    """The customers who validate; the same in every run."""
    everybody, generator = np.unique(customer), np.random.default_rng(0)
    return set(generator.choice(everybody, _VALIDATION_CUSTOMERS, replace=False).tolist())


def _of_sequences(name: str, customer: Ints, item: Ints, chosen: set[int]) -> LeaveOneOut:
    ids, rows = np.unique(item, return_inverse=True)
    whole = _interactions(customer, rows)
    learnt, taught = np.ones(len(whole), bool), np.ones(len(whole), bool)
    validation: list[Asked] = []
    test: list[Asked] = []
    for _, start, end in whole.ranges():
        learnt[end - 1] = taught[end - 1] = False
        test.append((start, end - 1, int(rows[end - 1])))
        if int(customer[start]) in chosen and end - start > 2:
            taught[end - 2] = False
            validation.append((start, end - 2, int(rows[end - 2])))
    return LeaveOneOut(
        name, len(ids), whole.pick(learnt), whole.pick(taught), False, rows, validation, test
    )


def _interactions(customer: Ints, item: Ints) -> Interactions:
    _, number = np.unique(customer, return_inverse=True)
    places = np.arange(len(item))
    return Interactions(number, item, np.ones(len(item), np.int64), places, places)


def _columns(query: str, path: Path) -> tuple[Ints, Ints]:
    with duckdb.connect() as connection:
        found = connection.execute(query, [str(path)]).fetchnumpy()
    first, second = (np.asarray(column).astype(np.int64) for column in found.values())
    return first, second
