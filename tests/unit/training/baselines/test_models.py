"""ItemKNN, EASE, iALS and the forms of rules, against values by hand or a naive computation."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from nearline.contracts.event import Kind
from tests.unit.training.baselines.test_simple import question
from tests.unit.training.test_label_points import history
from training.baselines import (
    TooManyItems,
    Weight,
    added,
    ease,
    history_matrix,
    ials,
    item_knn,
    popularity,
    ranks,
    sequential_rules,
)
from training.datasets import Interactions

# Customers 0 and 1 met items 0 and 1, customer 2 met 0 and 2, each twice over.
MET = history(
    *(
        (customer, item, Kind.VIEW, at)
        for customer, items in enumerate([(0, 1), (0, 1), (0, 2)])
        for at, item in enumerate(items + items)
    )
)


def tastes(seed: int, items: int = 12) -> Interactions:
    """Two groups of customers, each with its half of the items."""
    draw = np.random.default_rng(seed)
    rows = [
        (customer, int(item) + (customer % 2) * items // 2, Kind.VIEW, at)
        for customer in range(60)
        for at, item in enumerate(draw.permutation(items // 2)[:4])
    ]
    return history(*rows)


def test_neighbours_are_cosines_of_customers_shrunk() -> None:
    scores = item_knn(MET, 4, shrink=10.0)(question([0], 1, 9, []))[0]

    assert scores.tolist() == pytest.approx(
        [0.0, 2 / (np.sqrt(3 * 2) + 10), 1 / (np.sqrt(3 * 1) + 10), 0.0]
    )


def test_the_newest_item_speaks_loudest_and_a_repeated_one_twice() -> None:
    held = history_matrix(question([2, 0, 2], 1, 9, []), 4, decay=0.5).toarray()[0]

    assert held.tolist() == [0.5, 0.0, 1.0 + 0.25, 0.0]
    assert history_matrix(question([2, 0], 1, 9, []), 3, decay=0.0).toarray().tolist() == [
        [1, 0, 0]
    ]


def test_ease_is_ridge_regression_of_each_item_on_the_others() -> None:
    data = tastes(1)
    met = np.zeros((60, 12))
    met[data.customer, data.item] = 1.0
    asked = question([3, 1], 2, 9, [])

    expected = np.zeros(12)
    for item in range(12):
        others = [other for other in range(12) if other != item]
        gram = met[:, others].T @ met[:, others] + 2.0 * np.eye(11)
        weights = np.linalg.solve(gram, met[:, others].T @ met[:, item])
        expected[item] = sum(
            share * weights[others.index(known)]
            for known, share in ((3, 0.8), (1, 1.0))
            if known != item
        )

    assert ease(data, 12, strength=2.0)(asked)[0].tolist() == pytest.approx(expected, abs=1e-5)


def test_ease_refuses_a_catalogue_that_it_cannot_invert() -> None:
    with pytest.raises(TooManyItems, match=r"20,001 items would take 1\.5 GiB, and 20,000"):
        ease(MET, 20_001)


def test_factors_find_the_taste_of_a_newcomer_say_nothing_aloud_and_are_repeatable() -> None:
    data = tastes(2)
    asked = question([0, 1, 2], 3, 9, [0, 1, 2])

    with warnings.catch_warnings():
        warnings.simplefilter("error")  # implicit warns of threads of BLAS that fight
        scorer = ials(data, 12, dimension=2, seed=3)

    scores = scorer(asked)[0]
    assert scores[3:6].min() > scores[6:].max()
    assert scores.tolist() == ials(data, 12, dimension=2, seed=3)(asked)[0].tolist()


def test_rules_by_share_and_by_cosine_divide_by_meetings() -> None:
    data = history(*((0, item, Kind.VIEW, at) for at, item in enumerate([0, 1, 0, 2])))
    asked = question([0], 1, 9, [])  # 0 -> 1 with 1; 0 -> 2 with 1 and 1/3
    count, share, cosine = (
        sequential_rules(data, 3, weight=weight)(asked)[0].tolist() for weight in Weight
    )

    assert count == pytest.approx([0.0, 1.0, 4 / 3])
    assert share == pytest.approx([0.0, 1 / 2, 2 / 3])
    assert cosine == pytest.approx([0.0, 1 / np.sqrt(2), 4 / 3 / np.sqrt(2)])


def test_rules_of_sessions_may_lead_back_to_the_same_item() -> None:
    data = history(*((0, item, Kind.VIEW, at) for at, item in enumerate([0, 0, 1])))

    assert sequential_rules(data, 2, gap=1)(question([0], 1, 9, []))[0].tolist() == [0, 1]
    back = sequential_rules(data, 2, gap=1, repeats=True)(question([0], 1, 9, []))
    assert back[0].tolist() == [1, 1]


def test_scores_add_up() -> None:
    both = added(popularity(MET, 4), item_knn(MET, 4), 0.5)(question([0], 1, 9, []))[0]

    assert both[1] == pytest.approx(4 + 0.5 * 2 / (np.sqrt(6) + 10))


def test_full_and_sparse_answers_are_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    data, asked = tastes(5), question([4, 1], 2, 9, [])
    full = item_knn(data, 12)(asked)

    monkeypatch.setattr("training.baselines.scorer._DENSE_ITEMS", 0)

    assert item_knn(data, 12)(asked)[0].tolist() == pytest.approx(full[0].tolist())


def test_each_simple_model_beats_popularity_where_tastes_differ() -> None:
    data = tastes(6)
    asked = question([0, 1, 2], 4, 9, [0, 1, 2])
    least = ranks(asked, popularity(data, 12))[0]

    for scorer in (item_knn(data, 12), ease(data, 12, 2.0), sequential_rules(data, 12)):
        assert ranks(asked, scorer)[0] <= min(3, least)
