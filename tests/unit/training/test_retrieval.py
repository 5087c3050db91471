"""Candidates of a past moment are those that a bundle of that time would have named."""

from __future__ import annotations

import numpy as np

from nearline.contracts.event import Kind
from nearline.transforms import customer
from nearline.transforms.candidates import Catalogue
from tests.unit.training.histories import met
from tests.unit.training.test_label_points import history
from training.datasets import Dataset, IdMap
from training.retrieval import Retriever, flat_index

VECTORS = np.eye(4, dtype=np.float32)
MADE_AT_US = 100


def shop() -> Dataset:
    """Four items; the last one arrived after the bundle was made."""
    data = history((0, 0, Kind.VIEW, 1))
    ids, arrived = ("i0", "i1", "i2", "i3"), (1, 1, MADE_AT_US, MADE_AT_US + 1)
    return Dataset(data, ("ann",), IdMap(ids), ("",) * 4, (0,) * 4, arrived, 1, 1)


def newest(items: np.ndarray, _: np.ndarray) -> np.ndarray:
    return VECTORS[items[:, -1] - 1]


def test_an_item_that_arrived_later_is_neither_found_nor_revisited_nor_read() -> None:
    state = customer.fold([met("ann", "i1", 200), met("ann", "i3", 300)])
    retriever = Retriever.of(newest, VECTORS, shop(), MADE_AT_US, [0], 5)

    (found,) = retriever.candidates([state], [400])

    assert {one.item_id for one in found} == {"i0", "i1", "i2"}
    # i3 was met last, but the query is that of i1: the newest item that the bundle knows.
    assert max(found, key=lambda one: one.scores["encoder"]).item_id == "i1"


def test_with_every_item_known_it_answers_as_the_whole_index_does() -> None:
    state = customer.fold([met("ann", "i1", 200), met("ann", "i3", 300)])
    dataset = shop()
    whole = Retriever(
        newest, flat_index(VECTORS), Catalogue.of(dataset.items.item_ids, [""] * 4), [0], 5
    )

    later = Retriever.of(newest, VECTORS, dataset, MADE_AT_US + 1, [0], 5)

    assert later.candidates([state], [400]) == whole.candidates([state], [400])
