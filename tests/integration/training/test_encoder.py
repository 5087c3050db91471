"""The encoder: causal, blind to padding, resumable, and the same in ONNX as in torch."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from tests.unit.training.histories import two_tastes, write
from training import baselines, encoder, encoder_model, encoder_stage
from training.config import EncoderConfig
from training.datasets import Dataset, read
from training.encoder_export import export
from training.encoder_model import Encoder, sampled_softmax_loss
from training.metrics import single_target
from training.neighbours import start_vectors
from training.recipes import quick
from training.sequences import questions
from training.stated import Stated

SHAPE = EncoderConfig(
    history_length=12, dimension=16, negatives=20, cooling_from=2, max_epochs=4, patience=4
)


@pytest.fixture(scope="module")
def model() -> Encoder:
    torch.manual_seed(1)
    return Encoder(30, SHAPE).eval()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return read(write(tmp_path_factory.mktemp("shop"), two_tastes(customers=80)))


def histories(seed: int = 2, count: int = 9) -> tuple[np.ndarray, np.ndarray]:
    """Rows of every length from full to empty."""
    draw = np.random.default_rng(seed)
    items, kinds = draw.integers(1, 31, (count, 12)), draw.integers(1, 5, (count, 12))
    for row in range(count):
        padding = row * 12 // (count - 1)
        items[row, :padding] = kinds[row, :padding] = 0
    return items, kinds


@pytest.mark.parametrize(("blocks", "heads"), [(1, 1), (2, 2)])
def test_onnx_answers_as_torch_does_for_histories_of_every_length(
    tmp_path: Path, blocks: int, heads: int
) -> None:
    torch.manual_seed(3)
    made = Encoder(30, replace(SHAPE, blocks=blocks, heads=heads)).eval()
    items, kinds = histories()
    export(made, tmp_path / "encoder.onnx")

    session = onnxruntime.InferenceSession(
        str(tmp_path / "encoder.onnx"), providers=["CPUExecutionProvider"]
    )

    for count in (1, 9):  # the batch axis is free
        (query,) = session.run(["query"], {"items": items[:count], "kinds": kinds[:count]})
        assert query.dtype == np.float32
        np.testing.assert_allclose(
            query, encoder.query_vectors(made, items[:count], kinds[:count]), atol=1e-4
        )


def test_a_history_of_nothing_but_padding_gives_a_finite_vector(model: Encoder) -> None:
    empty = np.zeros((2, 12), np.int64)

    assert np.isfinite(encoder.query_vectors(model, empty, empty)).all()


def test_what_pads_on_the_left_changes_nothing(model: Encoder) -> None:
    items, kinds = histories()
    short_items, short_kinds = items[6:7, 4:], kinds[6:7, 4:]  # the first 9 places pad

    np.testing.assert_allclose(
        encoder.query_vectors(model, items[6:7], kinds[6:7]),
        encoder.query_vectors(model, short_items, short_kinds),
        atol=1e-5,
    )


def test_a_place_sees_nothing_that_comes_after_it(model: Encoder) -> None:
    items, kinds = (torch.from_numpy(rows[:1]) for rows in histories())
    changed = items.clone()
    changed[0, -1] = 7

    with torch.inference_mode():
        before, after = model.hidden(items, kinds), model.hidden(changed, kinds)

    torch.testing.assert_close(before[:, :-1], after[:, :-1])
    assert not torch.allclose(before[:, -1], after[:, -1])


def test_the_loss_is_the_softmax_over_the_target_and_the_other_negatives() -> None:
    hidden = torch.tensor([[1.0, 0.0]])
    weight = torch.tensor([[0.0, 0.0], [2.0, 0.0], [1.0, 5.0], [0.5, 1.0]])

    loss = sampled_softmax_loss(hidden, torch.tensor([1]), torch.tensor([1, 2, 3]), weight)

    # the negative that is the target does not count against it
    logits = np.exp([2.0, 1.0, 0.5])
    assert float(loss) == pytest.approx(-np.log(logits[0] / logits.sum()), abs=1e-6)


def test_the_loss_and_its_gradients_are_those_of_one_plain_softmax(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(encoder_model, "_PLACES_AT_ONCE", 7)  # Three pieces, the last a short one.
    draw = torch.Generator().manual_seed(4)
    hidden = torch.randn(17, 5, generator=draw, dtype=torch.float64).requires_grad_()
    weight = torch.randn(12, 5, generator=draw, dtype=torch.float64).requires_grad_()
    targets = torch.randint(1, 12, (17,), generator=draw)
    negatives = torch.tensor([2, 3, 5, 7, 11])

    loss = sampled_softmax_loss(hidden, targets, negatives, weight)
    (2 * loss).backward()
    found = hidden.grad, weight.grad

    hidden.grad = weight.grad = None
    plain = torch.stack(
        [
            torch.logsumexp(one @ weight[[own, *(n for n in negatives.tolist() if n != own)]].T, 0)
            - one @ weight[own]
            for one, own in zip(hidden, targets.tolist(), strict=True)
        ]
    ).mean()
    (2 * plain).backward()
    torch.testing.assert_close(loss, plain)
    torch.testing.assert_close(found, (hidden.grad, weight.grad))


def test_it_finds_the_next_item_better_than_popularity_does(shop: Dataset, tmp_path: Path) -> None:
    data, items = shop.interactions, len(shop.items)
    cut = int(np.quantile(data.occurred_at_us, 0.8))
    asked = questions(data, 12, cut, shop.to_us, 300, seed=1)
    learnt = _fit(shop, cut, tmp_path / "a.pt")

    own = single_target(baselines.ranks(asked, encoder.scorer(learnt)), 10)[1]
    popular = single_target(
        baselines.ranks(asked, baselines.popularity(data.until(cut), items)), 10
    )[1]

    assert own > 1.3 * popular


def test_a_run_that_was_stopped_goes_on_to_the_same_weights(shop: Dataset, tmp_path: Path) -> None:
    cut = int(np.quantile(shop.interactions.occurred_at_us, 0.8))
    whole = _fit(shop, cut, tmp_path / "whole.pt")

    with pytest.raises(KeyboardInterrupt):
        _fit(shop, cut, tmp_path / "parts.pt", stop_after=2)
    epochs: list[int] = []
    resumed = _fit(shop, cut, tmp_path / "parts.pt", epochs=epochs)

    assert epochs == [3, 4]
    np.testing.assert_array_equal(encoder.item_vectors(whole), encoder.item_vectors(resumed))


def test_a_damaged_checkpoint_means_starting_again(shop: Dataset, tmp_path: Path) -> None:
    (tmp_path / "damaged.pt").write_bytes(b"no checkpoint")
    epochs: list[int] = []

    _fit(shop, shop.to_us, tmp_path / "damaged.pt", epochs=epochs)

    assert epochs[0] == 1


def test_a_checkpoint_of_other_code_is_not_taken_up(
    shop: Dataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = tmp_path / "encoder_model.py"
    monkeypatch.setattr(encoder_stage, "_LEARNS", (code,))
    names = set()
    for text in ("blocks = 1", "blocks = 2"):
        code.write_text(text)
        names |= {encoder_stage.fingerprint(shop, quick()) for _ in range(2)}

    assert len(names) == 2


def test_a_checkpoint_of_other_categories_in_the_past_is_not_taken_up(shop: Dataset) -> None:
    """Imported later: what an item was stated to be back then, while the newest stays."""
    before, after = (
        replace(
            shop, stated_categories=Stated(np.array([0] * len(told)), np.arange(len(told)), told)
        )
        for told in (("hats",), ("shoes", "hats"))
    )

    assert before.categories == after.categories
    assert encoder_stage.fingerprint(before, quick()) != encoder_stage.fingerprint(after, quick())


def test_a_refit_knows_items_that_arrived_later(shop: Dataset, tmp_path: Path) -> None:
    data = shop.interactions
    newcomer = int(data.item[0])
    known = np.ones(len(shop.items), bool)
    known[newcomer] = False
    learnt = _fit(shop, shop.to_us, tmp_path / "a.pt")
    with torch.no_grad():
        learnt.item.weight[newcomer + 1] = 0.0

    vectors = encoder.item_vectors(
        encoder.refit(
            learnt,
            data,
            known,
            shop.categories,
            shop.prices_cents,
            replace(SHAPE, refit_epochs=0),
            1,
        )
    )

    half = len(shop.items) // 2  # the halves are never met together
    alike = vectors @ vectors[newcomer]
    own = np.arange(len(shop.items)) // half == newcomer // half
    assert alike[own].mean() > alike[~own].mean()


def _fit(
    shop: Dataset,
    cut: int,
    checkpoint: Path,
    stop_after: int | None = None,
    epochs: list[int] | None = None,
) -> Encoder:
    data = shop.interactions.until(cut)

    def report(figures: dict[str, float]) -> None:
        if epochs is not None:
            epochs.append(int(figures["epoch"]))
        if figures["epoch"] == stop_after:
            raise KeyboardInterrupt

    return encoder.fit(
        data,
        len(shop.items),
        questions(shop.interactions, 12, cut, shop.to_us, 200, seed=2),
        SHAPE,
        start=start_vectors(data, len(shop.items), SHAPE.dimension, seed=1),
        seed=5,
        checkpoint=checkpoint,
        report=report,
    )
