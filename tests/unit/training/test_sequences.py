"""What the encoder learns from and is asked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from training.datasets import Interactions
from training.sequences import first_meetings, questions, windows


def interactions(*rows: tuple[int, int, int]) -> Interactions:
    """(customer, item, instant), all views."""
    customer, item, at_us = (np.array(column, np.int64) for column in zip(*rows, strict=True))
    return Interactions(customer, item, np.ones(len(rows), np.int64), at_us, at_us)


def test_a_window_asks_for_the_next_item_where_it_is_new() -> None:
    data = interactions((0, 5, 1), (0, 6, 2), (0, 5, 3), (0, 7, 4))

    found = windows(data, length=4)

    assert found.items_WL.tolist() == [[0, 6, 7, 6]]  # row + 1, padded on the left
    assert found.targets_WL.tolist() == [[0, 7, 0, 8]]  # coming back to item 5 is no target


def test_long_sequences_are_cut_from_their_end_so_that_each_target_counts_once() -> None:
    data = interactions(*((0, item, item) for item in range(8)))

    found = windows(data, length=3)

    targets = found.targets_WL[found.targets_WL > 0]
    assert sorted(targets.tolist()) == [2, 3, 4, 5, 6, 7, 8]
    assert found.items_WL[0].tolist() == [5, 6, 7]


def test_one_customer_with_one_item_teaches_nothing() -> None:
    assert len(windows(interactions((0, 5, 1)), length=3)) == 0
    assert len(windows(interactions((0, 5, 1), (0, 5, 2)), length=3)) == 0


def test_first_meetings_are_the_first_of_each_pair() -> None:
    data = interactions((0, 5, 1), (0, 6, 2), (0, 5, 3), (1, 5, 1))

    assert first_meetings(data).tolist() == [True, True, False, True]


def test_a_question_knows_only_what_occurred_strictly_before_its_target() -> None:
    data = interactions((0, 1, 1), (0, 2, 2), (0, 3, 5), (0, 4, 5), (0, 9, 6))

    asked = questions(data, 3, after_us=4, until_us=5, limit=10, seed=1)

    assert asked.targets_W.tolist() == [3, 4]  # 9 lies after the part
    # Item 3 shares the instant of item 4: neither may be known to the other's question.
    assert asked.items_WL.tolist() == [[0, 2, 3], [0, 2, 3]]
    assert [seen.tolist() for seen in asked.seen] == [[1, 2], [1, 2]]


def test_a_question_does_not_know_what_was_sent_after_it_was_asked() -> None:
    data = interactions((0, 1, 1), (0, 2, 2), (0, 3, 5), (1, 1, 1), (1, 3, 5))
    late = replace(data, known_at_us=np.array([1, 9, 5, 9, 5], np.int64))

    asked = questions(late, 3, after_us=4, until_us=5, limit=10, seed=1)

    assert asked.items_WL.tolist() == [[0, 0, 2]]  # of the other customer nothing was known
    assert [seen.tolist() for seen in asked.seen] == [[1]]


def test_questions_are_limited_evenly_and_repeatably() -> None:
    data = interactions(*((0, item, item) for item in range(100)))

    some = questions(data, 5, 10, 99, limit=20, seed=3)

    assert len(some) == 20
    assert some.targets_W.tolist() == questions(data, 5, 10, 99, 20, seed=3).targets_W.tolist()
    assert [len(part) for part in some.chunks(8)] == [8, 8, 4]


def test_a_bundle_passes_over_the_items_of_a_history_that_it_does_not_know() -> None:
    data = interactions((0, 1, 1), (0, 2, 2), (0, 3, 3), (0, 4, 5))
    asked = questions(data, 4, after_us=4, until_us=5, limit=10, seed=1)

    found = asked.knowing(np.array([True, True, False, True, True]))  # item 2 arrived later

    assert found.items_WL.tolist() == [[0, 0, 2, 4]]  # row + 1, pushed together
    assert found.kinds_WL.tolist() == [[0, 0, 1, 1]]
    assert asked.items_WL.tolist() == [[0, 2, 3, 4]]
