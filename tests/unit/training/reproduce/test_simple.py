"""What surrounds the simple models of a reproduction: sizes, splits, gates."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from training.reproduce import movielens_100k, simple
from training.reproduce.comparison import Check, Origin, Place, Row


def test_other_data_than_the_published_are_refused() -> None:
    assert simple.asserted("toy", {"items": 3, "questions": 2}, {"items": 3}) == {
        "items": 3,
        "questions": 2,
    }
    with pytest.raises(ValueError, match=r"toy is not the published data set.*'items': \(3, 4\)"):
        simple.asserted("toy", {"items": 3}, {"items": 4})


def test_the_bar_is_the_best_simple_model_of_the_run() -> None:
    rows = [Row(str(value), Origin.SIMPLE, {"ndcg_at_10": value}) for value in (0.1, 0.31, 0.2)]

    assert simple.above_the_best("ours", rows, "ndcg_at_10").bound == 0.31


def test_known_pairs_become_checks() -> None:
    assert simple.checks({"rules": (0.25, 0.14)}) == [
        Check("rules", "recall_at_10", 0.25, 0.05),
        Check("rules", "ndcg_at_10", 0.14, 0.05),
    ]


def test_movielens_100k_is_cut_at_one_instant(shared: Path, tmp_path: Path) -> None:
    whole, items = movielens_100k._ratings(Place(shared / "data", tmp_path, 1))
    log, test = movielens_100k._split(whole, items)

    assert (len(whole), items) == (100_000, 1_682)
    instant_us = int(log.learn.occurred_at_us.max())
    assert (test.asked_at_us > instant_us).all()  # nobody is asked about what was learnt
    assert len(log.learn) == int((whole.occurred_at_us <= instant_us).sum()) >= 90_000
    # One film of each customer who validates is kept from learning, and asked for.
    held = len(log.learn) - len(log.train)
    assert held == len(log.validation(5)) == 300
    assert len(test) == len(log.test(5))
    for row, seen in enumerate(test.seen):
        assert test.targets_W[row] not in seen
        assert np.isin(test.items_WL[row][test.items_WL[row] > 0] - 1, seen).all()
