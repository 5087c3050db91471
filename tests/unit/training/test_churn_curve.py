"""No curve tells anybody that leaving is certain, or impossible."""

from __future__ import annotations

import numpy as np
import pytest

from training.churn import honest_ends


def steps(*blocks: tuple[float, int]) -> np.ndarray:
    """(what is said, of how many rows) laid end to end."""
    return np.concatenate([np.full(rows, said) for said, rows in blocks])


def test_an_end_of_many_rows_says_what_so_many_rows_can_prove() -> None:
    least, most = honest_ends(steps((0.0, 48), (0.3, 20), (1.0, 8)))

    assert least == pytest.approx(1 / 50)
    assert most == pytest.approx(9 / 10)


def test_an_end_of_few_rows_says_no_more_than_its_neighbour() -> None:
    # One row of each outcome would prove 1/3 and 2/3: less than the steps beside them say.
    assert honest_ends(steps((0.0, 1), (0.05, 60), (0.9, 30), (1.0, 1))) == (0.05, 0.9)


def test_ends_that_are_not_certain_stay_as_they_are() -> None:
    assert honest_ends(steps((0.01, 100), (0.97, 100))) == (0.01, 0.97)


def test_of_two_certain_steps_each_end_counts_its_rows_alone() -> None:
    assert honest_ends(steps((0.0, 8), (1.0, 18))) == (pytest.approx(0.1), pytest.approx(0.95))
    assert honest_ends(steps((0.0, 8))) == (pytest.approx(0.1), pytest.approx(0.1))
    assert honest_ends(steps((1.0, 8))) == (pytest.approx(0.9), pytest.approx(0.9))
