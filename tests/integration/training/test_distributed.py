"""The same jobs on Ray, proved on a cluster of this machine: the same rows, and equal quality."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from nearline import offline
from nearline.feast_layout import CUSTOMER_VIEW, ITEM_VIEW
from tests.unit.training.histories import two_tastes, write
from training import baselines, encoder
from training.datasets import Dataset, read
from training.distributed.cluster import LOCAL, connected
from training.distributed.encoder import shared
from training.metrics import single_target
from training.neighbours import start_vectors
from training.recipes import quick
from training.sequences import Windows, questions

SHAPE = replace(quick().encoder, max_epochs=4, patience=4)


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("shop"), two_tastes(customers=60))


@pytest.fixture(scope="module")
def cluster() -> Iterator[int]:
    with connected(LOCAL, cpus=3) as cpus:  # two workers, and one for what Ray itself runs
        yield cpus


def rows(folder: Path, view: str) -> list[dict[str, Any]]:
    table = pq.read_table(offline.source_path(folder, view))
    return table.sort_by("row_number").to_pylist()  # type: ignore[no-any-return]


@pytest.mark.ray
@pytest.mark.soak
@pytest.mark.filterwarnings("ignore")  # Ray's own, of every library that it touches
def test_rows_built_on_ray_are_those_built_here(
    history: Path, tmp_path: Path, cluster: int
) -> None:
    from training.distributed import data

    there = data.snapshot(history, tmp_path / "there", parts=3)
    here = offline.snapshot(history, tmp_path / "here")

    assert (there.events, there.customer_rows, there.item_rows) == (
        here.events, here.customer_rows, here.item_rows
    )  # fmt: skip
    for layout in (CUSTOMER_VIEW, ITEM_VIEW):
        assert rows(tmp_path / "there", layout.view) == rows(tmp_path / "here", layout.view)
    # one machine takes them for its own, and the cluster as well
    assert offline.snapshot(history, tmp_path / "there").unchanged
    assert data.snapshot(history, tmp_path / "there", parts=5).unchanged


@pytest.mark.ray
@pytest.mark.soak
@pytest.mark.filterwarnings("ignore")
def test_an_encoder_taught_by_two_workers_is_as_good_as_one_taught_here(
    history: Path, tmp_path: Path, cluster: int
) -> None:
    from training.distributed import encoder as distributed

    dataset = read(history)
    alone, _ = _taught(encoder.fit, dataset, tmp_path / "alone" / "encoder-a.pt")
    together, epochs = _taught(distributed.fit, dataset, tmp_path / "two" / "encoder-a.pt")

    assert epochs == [1, 2, 3, 4]
    assert abs(together - alone) < 0.15 * alone
    assert together > 0.3  # chance is 0.1

    # the same run again takes up what Ray Train kept, and has nothing left to learn
    others = tmp_path / "two" / "ray" / "encoder-b-2"
    others.mkdir()
    again, repeated = _taught(distributed.fit, dataset, tmp_path / "two" / "encoder-a.pt")
    assert (again, repeated) == (together, epochs)
    assert not others.exists()  # what other data left would fill the disk, run by run


def test_every_window_is_somebodys_and_all_have_as_many() -> None:
    whole = np.arange(1, 8)[:, None]
    parts = [shared(Windows(whole, whole, whole), rank, 3) for rank in range(3)]

    assert [len(part) for part in parts] == [3, 3, 3]
    assert {int(row) for part in parts for row in part.items_WL[:, 0]} == set(range(1, 8))


def _taught(fit: Any, dataset: Dataset, checkpoint: Path) -> tuple[float, list[int]]:
    data = dataset.interactions
    cut = int(np.quantile(data.occurred_at_us, 0.8))
    asked = questions(data, SHAPE.history_length, cut, dataset.to_us, 300, seed=1)
    train = data.until(cut)
    epochs: list[int] = []
    model = fit(
        train, len(dataset.items), asked, SHAPE,
        start=start_vectors(train, len(dataset.items), SHAPE.dimension, seed=1),
        seed=5, checkpoint=checkpoint, report=lambda figures: epochs.append(int(figures["epoch"])),
    )  # fmt: skip
    return single_target(baselines.ranks(asked, encoder.scorer(model)), 10)[1], epochs
