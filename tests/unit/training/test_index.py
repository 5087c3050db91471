"""Which index a bundle gets: exact, or a graph that proved itself on customers' vectors."""

from __future__ import annotations

import faiss
import numpy as np
import pytest

from nearline.contracts.bundle import IndexSpec
from tests.unit.training.test_covisits import walk
from training import index


@pytest.fixture(autouse=True)
def one_thread() -> None:
    faiss.omp_set_num_threads(1)  # On a crowded machine more would wait for one another.


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    """1,200 items round 30 centres, their lengths skewed as popularity makes them."""
    draw = np.random.default_rng(5)
    centres = draw.normal(size=(30, 16))
    rows = centres[draw.integers(30, size=1_200)] + 0.4 * draw.normal(size=(1_200, 16))
    return (rows * draw.lognormal(0.0, 0.3, size=(1_200, 1))).astype(np.float32)


def test_few_items_are_searched_exactly_and_nobody_is_asked(vectors: np.ndarray) -> None:
    def nobody() -> np.ndarray:
        raise AssertionError

    chosen = index.choose(vectors, nobody)

    assert chosen.spec == IndexSpec("flat", 1.0)
    assert "1,200 items" in chosen.why.en


def test_many_items_get_a_graph_that_finds_what_an_exact_search_finds(vectors: np.ndarray) -> None:
    chosen = index.choose(vectors, lambda: vectors[:200], flat_below=1_000)

    _, found = chosen.index.search(vectors[:200], 100)
    exact = np.argsort(-(vectors[:200] @ vectors.T), axis=1)[:, :100]
    shared = [
        len(set(a) & set(b)) / 100 for a, b in zip(found.tolist(), exact.tolist(), strict=True)
    ]
    assert chosen.spec.kind == "hnsw"
    assert chosen.spec.recall_at_100 == pytest.approx(np.mean(shared), abs=0.005)
    assert chosen.spec.recall_at_100 >= index.LEAST_RECALL


def test_a_graph_is_searched_as_widely_as_it_must_and_no_wider(
    vectors: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    recalls = iter([0.5, 0.94, 0.96])
    monkeypatch.setattr(index, "recall_of", lambda *_: next(recalls))

    chosen = index.choose(vectors, lambda: vectors[:5], flat_below=1_000)

    assert chosen.index.hnsw.efSearch == index.EF_SEARCH[2]
    assert chosen.spec == IndexSpec("hnsw", 0.96)
    assert "finds 96.0% of the 100 nearest of 1,200 items for 5 customers" in chosen.why.en
    assert "96.0%" in chosen.why.zh


def test_a_graph_that_misses_too_much_is_not_used_and_the_reason_says_so(
    vectors: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(index, "recall_of", lambda *_: 0.9)

    chosen = index.choose(vectors, lambda: vectors[:5], flat_below=1_000)

    assert chosen.spec == IndexSpec("flat", 1.0)
    assert "finds 90.0% of the 100 nearest" in chosen.why.en
    _, found = chosen.index.search(vectors[:1], 1)
    assert found[0, 0] == np.argmax(vectors @ vectors[0])


def test_recall_is_the_share_of_the_exact_answer() -> None:
    class Fixed:
        def search(self, queries: np.ndarray, at: int) -> tuple[None, np.ndarray]:
            assert (len(queries), at) == (2, 3)
            return None, np.array([[1, 2, 9], [-1, -1, 4]])

    exact = np.array([[1, 2, 3], [4, 5, 6]])

    assert index.recall_of(Fixed(), np.zeros((2, 1), np.float32), exact) == 0.5


def test_customers_are_asked_with_the_end_of_their_histories() -> None:
    data = walk(6, customers=3, steps=7)

    def queries(items: np.ndarray, kinds: np.ndarray) -> np.ndarray:
        return np.concatenate([items, kinds], axis=1).astype(np.float32)

    found = index.customer_queries(data, queries, length=9, limit=2, seed=0)

    ends = {tuple(data.item[end - 7 : end] + 1) for _, _, end in data.ranges()}
    assert found.shape == (2, 18)
    assert {tuple(row[2:9].astype(int)) for row in found} < ends
    assert (found[:, :2] == 0).all()
