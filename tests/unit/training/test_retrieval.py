"""Candidates of a past moment are those that a bundle of that time would have named."""

from __future__ import annotations

from dataclasses import replace

import faiss
import msgspec
import numpy as np
import pytest

from nearline.contracts.event import Kind
from nearline.transforms import customer
from nearline.transforms.candidates import Candidate, Catalogue, excluded_ids
from nearline.transforms.content import ContentTable
from nearline.transforms.covisits import CovisitTable
from nearline.transforms.ranking import SOURCES
from nearline.transforms.shelves import Shelves
from nearline.transforms.sources import Sources
from nearline.transforms.taste import Contents, naming_order
from serving.arrivals import Arrived, Stock
from serving.finder import Finder
from serving.finding import Asked, find
from serving.items import ItemTable
from serving.policy.load import shipped
from tests.unit.training.histories import met, two_tastes, write
from tests.unit.training.test_label_points import history
from training import covisits, datasets
from training.config import CovisitConfig
from training.datasets import Dataset, IdMap
from training.retrieval import Retriever

VECTORS = np.eye(4, dtype=np.float32)
MADE_AT_US = 100


def shop() -> Dataset:
    """Four items; the last one arrived after the bundle was made."""
    data = history((0, 0, Kind.VIEW, 1))
    ids, arrived = ("i0", "i1", "i2", "i3"), (1, 1, MADE_AT_US, MADE_AT_US + 1)
    return Dataset(data, ("ann",), IdMap(ids), ("",) * 4, (0,) * 4, arrived, 1, 1)


def newest(items: np.ndarray, _: np.ndarray) -> np.ndarray:
    return VECTORS[items[:, -1] - 1]


def test_an_item_that_arrived_later_is_found_as_an_arrival_and_not_read_by_the_encoder() -> None:
    state = customer.fold([met("ann", "i1", 200), met("ann", "i3", 300)])
    retriever = Retriever.of(newest, VECTORS, shop(), MADE_AT_US, [0], 5)

    (found,) = retriever.candidates([state], [400])

    by_id = {one.item_id: one for one in found}
    assert set(by_id["i3"].ranks) == {"revisit", "arrivals"}
    assert {name for name, one in by_id.items() if "encoder" in one.ranks} == {"i0", "i1", "i2"}
    # i3 was met last, but the query is that of i1: the newest item that the bundle knows.
    known = [one for one in found if "encoder" in one.scores]
    assert max(known, key=lambda one: one.scores["encoder"]).item_id == "i1"


def test_an_item_is_not_found_before_it_arrived() -> None:
    retriever = Retriever.of(newest, VECTORS, shop(), 50, [0], 5)

    before, after = retriever.candidates([customer.EMPTY] * 2, [MADE_AT_US, MADE_AT_US + 1])

    assert [one.item_id for one in before if "arrivals" in one.ranks] == ["i2"]
    assert [one.item_id for one in after if "arrivals" in one.ranks] == ["i3", "i2"]


def test_with_every_item_known_nothing_is_an_arrival() -> None:
    state = customer.fold([met("ann", "i1", 200), met("ann", "i3", 300)])

    (found,) = Retriever.of(newest, VECTORS, shop(), MADE_AT_US + 1, [0], 5).candidates(
        [state], [400]
    )

    assert all("arrivals" not in one.ranks for one in found)
    assert max(found, key=lambda one: one.scores["encoder"]).item_id == "i3"


CONTENT = ContentTable(
    categories={"left": [1.0, 0.0, 0.2, 0.0], "right": [0.0, 1.0, 0.0, 0.2]},
    price_edges_cents=[1_500, 3_000],
    prices=[[0.1, 0.0, 0.0, 0.0], [0.0, 0.0, 0.3, 0.0], [0.0, 0.0, 0.0, 0.4]],
)


KNOWN, ITEMS = 36, 40  # The last four items came after the bundle was made.


@pytest.fixture(scope="module")
def tastes(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    root = write(tmp_path_factory.mktemp("tastes") / "history", two_tastes(customers=30))
    dataset = datasets.read(root)
    came = [dataset.to_us + row if row >= KNOWN else dataset.from_us for row in range(ITEMS)]
    met_before = dataset.interactions.pick(dataset.interactions.item < KNOWN)
    return replace(dataset, interactions=met_before, first_seen_us=tuple(came))


class Taught:
    """An encoder: the vector of the newest item, and a little of the one before."""

    def __init__(self, vectors: np.ndarray) -> None:
        self.table = np.vstack([np.zeros((1, vectors.shape[1]), np.float32), vectors])

    def queries(self, items: np.ndarray, _: np.ndarray) -> np.ndarray:
        found: np.ndarray = self.table[items[:, -1]] + np.float32(0.3) * self.table[items[:, -2]]
        return found

    def run(self, _: list[str], inputs: dict[str, np.ndarray]) -> list[np.ndarray]:
        return [self.queries(inputs["items"], inputs["kinds"])]


def served(dataset: Dataset, taught: Taught, beside: CovisitTable, popular: list[int]) -> Stock:
    """The same bundle as serving's own code holds it, with the late items as arrivals."""
    vectors = taught.table[1 : KNOWN + 1]
    ids, categories, prices = (
        part[:KNOWN] for part in (dataset.items.item_ids, dataset.categories, dataset.prices_cents)
    )
    index = faiss.IndexFlatIP(vectors.shape[1])
    index.add(vectors)
    catalogue = Catalogue.of(ids, categories)
    order = naming_order(range(KNOWN), popular, dataset.first_seen_us)
    arrays = {name: array[:KNOWN] for name, array in beside.arrays().items()}
    finder = Finder(
        encoder=taught,
        index=index,
        unit_vectors=vectors,
        catalogue=catalogue,
        prices_cents=tuple(prices),
        sources=Sources(
            known=catalogue,
            catalogue=catalogue,
            popular=popular,
            covisits=CovisitTable.from_arrays(arrays, KNOWN),
            contents=Contents.of(CONTENT, categories, prices, order),
        ),
        shelves=Shelves.of(categories, order, popular),
        history_length=20,
    )
    came = [
        Arrived(dataset.items.item_ids[row], dataset.categories[row], dataset.prices_cents[row])
        for row in range(ITEMS - 1, KNOWN - 1, -1)  # newest first, as Redis tells
    ]
    return Stock.of(finder, came)


def test_training_and_serving_name_the_same_candidates_from_every_source(tastes: Dataset) -> None:
    """The ranker must meet in production what it learnt from: items, scores and ranks."""
    taught = Taught(np.random.default_rng(3).normal(size=(ITEMS, 4)).astype(np.float32))
    popular = [5, 30, 2, 9]
    beside = covisits.build(tastes.interactions, ITEMS, tastes.to_us, CovisitConfig())
    retriever = Retriever.of(
        taught.queries, taught.table[1:], tastes, tastes.to_us, popular, 20, beside, CONTENT
    )
    stock = served(tastes, taught, beside, popular)
    now_us = tastes.to_us + 1_000
    histories = [
        [],
        [("i37", "view_item")],  # Only an arrival: the encoder knows nothing of it.
        [("i02", "view_item"), ("i38", "add_to_cart"), ("i03", "purchase")],
        [(f"i{n:02d}", "view_item") for n in range(20, 36)],
        [("gone", "view_item"), ("i11", "purchase")],
    ]
    states = [
        customer.fold(met("eve", what, now_us - 9 + n, name=name) for n, (what, name) in each)
        for each in (list(enumerate(history)) for history in histories)
    ]

    learnt_from = retriever.candidates(states, [now_us] * len(states))

    named: set[str] = set()
    for state, expected in zip(states, learnt_from, strict=True):
        answer = find(stock, ItemTable(1), state, asked_by(state, now_us))
        assert answer.failed == ()
        found = [option.candidate for option in answer.options]
        assert [shown(one) for one in found] == [shown(one) for one in expected]
        for one, other in zip(found, expected, strict=True):
            assert one.scores == pytest.approx(other.scores, abs=1e-6)
            named |= set(one.ranks)
    assert named == set(SOURCES)  # Else the comparison said less than it seems to.


def asked_by(state: customer.CustomerState, as_of_us: int) -> Asked:
    """The home page's question, by its own sources alone: training fills nothing up."""
    home = msgspec.structs.replace(shipped().scenes["home"], fallback=())
    return Asked(home, 10, as_of_us, withheld=excluded_ids(state))


def shown(one: Candidate) -> tuple[str, str, dict[str, int]]:
    """All but the row: an arrival has its own in each bundle, and one in training's data set."""
    return one.item_id, one.category, dict(one.ranks)
