"""Where item vectors begin."""

from __future__ import annotations

import numpy as np

from nearline.contracts.event import Kind
from tests.unit.training.test_label_points import history
from training.neighbours import cooccurrence, fill_cold, start_vectors


def test_items_met_together_count_by_their_gap_and_both_ways() -> None:
    data = history(*((0, item, Kind.VIEW, at) for at, item in enumerate([0, 1, 2])))

    assert cooccurrence(data, 3).toarray().tolist() == [[0, 1, 0.5], [1, 0, 1], [0.5, 1, 0]]


def test_items_of_one_crowd_begin_near_each_other() -> None:
    draw = np.random.default_rng(2)
    data = history(
        *(
            (c, 5 * (c % 2) + int(item), Kind.VIEW, at)
            for c in range(40)
            for at, item in enumerate(draw.permutation(5))
        )
    )

    vectors = start_vectors(data, 11, dimension=4, seed=1)

    assert np.allclose(np.linalg.norm(vectors[:10], axis=1), 1, atol=1e-5)
    assert not vectors[10].any()  # never met
    alike = vectors @ vectors.T
    assert alike[:5, :5].mean() > alike[:5, 5:10].mean() + 0.3


def test_a_single_item_or_no_pair_begins_at_zero() -> None:
    assert not start_vectors(history((0, 0, Kind.VIEW, 1)), 1, 8, seed=1).any()
    assert not start_vectors(history((0, 0, Kind.VIEW, 1)), 5, 8, seed=1).any()


def test_an_unknown_item_stands_beside_its_neighbours_then_amid_its_category() -> None:
    vectors = np.array([[2.0, 0.0], [0.0, 2.0], [9.0, 9.0], [9.0, 9.0], [9.0, 9.0]], np.float32)
    known = np.array([True, True, False, False, False])
    data = history((0, 0, Kind.VIEW, 1), (0, 2, Kind.VIEW, 2))  # 2 is met beside 0

    filled = fill_cold(vectors, known, data, ["", "hat", "", "hat", ""])

    assert filled.tolist() == [[2, 0], [0, 2], [2, 0], [0, 2], [0, 0]]
    assert vectors[2].tolist() == [9, 9]  # a copy
