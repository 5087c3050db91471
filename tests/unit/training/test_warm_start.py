"""Beginning where the last encoder stood: by ids and names, never knowing what will judge it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from nearline.contracts.event import Event
from tests.unit.training.histories import START_US, met, two_tastes, write
from tests.unit.training.silent import Silent
from training import encoder, encoder_stage, warm_start
from training.datasets import Dataset, read, split
from training.encoder_content import ItemContent
from training.encoder_model import Encoder
from training.journal import Journal
from training.recipes import quick
from training.warm_start import CannotBegin, Line

DAY_US = 86_400_000_000
SHAPE = replace(quick().encoder, warm_generations=2)


def shop(root: Path, more: list[Event]) -> Dataset:
    return read(write(root, [*two_tastes(customers=40), *more]))


@pytest.fixture
def before(tmp_path: Path) -> Dataset:
    return shop(tmp_path / "before", [])


@pytest.fixture
def after(tmp_path: Path) -> Dataset:
    """The same shop with `a0`, which sorts before all ids and is met beside `i03`."""
    at_us = START_US + 5 * DAY_US
    news = [met("c900", item, at_us + n) for n, item in enumerate(("i03", "a0", "i03", "a0"))]
    return shop(tmp_path / "after", news)


def model_of(dataset: Dataset) -> Encoder:
    torch.manual_seed(4)
    content = ItemContent.of(dataset.categories, dataset.prices_cents)
    made = Encoder(len(dataset.items), SHAPE, content)
    with torch.no_grad():
        made.category.weight[1:] = torch.randn(len(made.category.weight) - 1, SHAPE.dimension)
    return made


def kept(
    folder: Path, dataset: Dataset, until_us: int, warm: warm_start.Warm | None = None
) -> Line:
    warm_start.keep(folder, model_of(dataset), dataset, until_us, SHAPE, warm)
    warm_start.number(folder, "7")
    line = warm_start.find(folder, "7")
    assert line is not None
    return line


def begin(line: Line, dataset: Dataset, until_us: int) -> warm_start.Warm:
    content = ItemContent.of(dataset.categories, dataset.prices_cents)
    return warm_start.begin(
        line, dataset, dataset.interactions.until(until_us), until_us, SHAPE, content
    )


def test_items_keep_their_vectors_though_their_rows_moved(
    tmp_path: Path, before: Dataset, after: Dataset
) -> None:
    line = kept(tmp_path, before, before.to_us)

    warm = begin(line, after, after.to_us)

    held = encoder.item_vectors(model_of(before))
    for item_id in ("i00", "i03", "i39"):
        old, new = before.items.index_of[item_id], after.items.index_of[item_id]
        assert new == old + 1
        np.testing.assert_array_equal(warm.vectors_ID[new], held[old])
    newcomer = warm.vectors_ID[after.items.index_of["a0"]]
    beside = warm.vectors_ID[after.items.index_of["i03"]]
    cosine = newcomer @ beside / np.linalg.norm(newcomer) / np.linalg.norm(beside)
    assert cosine == pytest.approx(1.0, abs=1e-5)  # met beside i03 and nothing else
    assert warm.parent == "7"


def test_what_it_begins_with_is_what_the_last_one_answered(
    tmp_path: Path, before: Dataset, after: Dataset
) -> None:
    """A model that is begun and not taught gives the same vectors for the same histories."""
    line = kept(tmp_path, before, before.to_us)
    warm = begin(line, after, after.to_us)
    content = ItemContent.of(after.categories, after.prices_cents)
    begun = Encoder(len(after.items), SHAPE, content)
    begun.load_state_dict(warm.network, strict=False)
    encoder._put(begun, warm.vectors_ID)

    items = np.array([[0, 0, 3, 5, 4]])
    old = encoder.query_vectors(model_of(before), items, np.minimum(items, 1))
    new = encoder.query_vectors(begun, np.where(items > 0, items + 1, 0), np.minimum(items, 1))

    np.testing.assert_allclose(new, old, atol=1e-5)


def test_an_item_that_nobody_has_met_by_then_competes_with_nobody(
    tmp_path: Path, before: Dataset, after: Dataset
) -> None:
    line = kept(tmp_path, before, START_US + 4 * DAY_US)

    warm = begin(line, after, START_US + 4 * DAY_US)  # a0 is met on the fifth day

    assert not warm.vectors_ID[after.items.index_of["a0"]].any()
    assert warm.vectors_ID[after.items.index_of["i03"]].any()


def test_what_has_learnt_from_the_events_that_judge_is_not_begun_with(
    tmp_path: Path, before: Dataset, after: Dataset
) -> None:
    first = split(before.interactions, quick().split).train_until_us
    line = kept(tmp_path, before, first + 1)

    with pytest.raises(CannotBegin, match="events that judge"):
        begin(line, after, first)
    assert begin(line, after, first + 1).generation == 0


def test_after_some_runs_one_begins_from_nothing(tmp_path: Path, before: Dataset) -> None:
    line = kept(tmp_path, before, before.to_us)
    for generation in (1, 2):
        line = kept(tmp_path, before, before.to_us, begin(line, before, before.to_us))
        assert line.generation == generation

    with pytest.raises(CannotBegin, match="2 runs"):
        begin(line, before, before.to_us)


def test_another_shape_is_not_begun_with(
    tmp_path: Path, before: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = kept(tmp_path, before, before.to_us)
    line.held["shape"][1] = 99

    with pytest.raises(CannotBegin, match="another shape"):
        begin(line, before, before.to_us)

    monkeypatch.setenv("NEARLINE_LANG", "zh")
    with pytest.raises(CannotBegin, match="编码器形状不同"):
        begin(line, before, before.to_us)


def test_a_damaged_file_costs_the_head_start_and_nothing_else(
    tmp_path: Path, before: Dataset
) -> None:
    kept(tmp_path, before, before.to_us)
    (tmp_path / "line-7.pt").write_bytes(b"broken")

    assert warm_start.find(tmp_path, "7") is None
    assert warm_start.find(tmp_path, "8") is None


def test_only_the_newest_few_are_kept(tmp_path: Path, before: Dataset) -> None:
    for version in range(1, 9):
        (tmp_path / f"line-{version}.pt").write_bytes(b"")
    warm_start.number(tmp_path, "9")

    assert sorted(path.name for path in tmp_path.glob("line-*.pt")) == [
        f"line-{version}.pt" for version in (4, 5, 6, 7, 8)
    ]


def test_a_run_that_goes_on_begins_with_a_smaller_loss_and_is_no_worse(
    tmp_path: Path, before: Dataset
) -> None:
    config = quick()
    parts = split(before.interactions, config.split)
    cold, warm = Journal(), Journal()
    encoder_stage.learn(before, parts, config, tmp_path, Silent(), cold)
    warm_start.number(tmp_path, "1")
    line = warm_start.find(tmp_path, "1")

    found = encoder_stage.learn(before, parts, config, tmp_path, Silent(), warm, line)

    assert found.parent == "1"
    assert warm.curve[0]["loss"] < cold.curve[0]["loss"]
    name = "encoder_ndcg_at_10"
    assert warm.metrics[name] > 0.9 * cold.metrics[name]
