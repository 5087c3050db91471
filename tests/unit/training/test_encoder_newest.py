"""The newest place alone, as serving asks for it, is what all places at once say of it."""

from __future__ import annotations

import pytest
import torch

from training.config import EncoderConfig
from training.encoder_model import Encoder


@pytest.mark.parametrize("blocks", [1, 2, 3])
@pytest.mark.parametrize("heads", [1, 2])
def test_the_newest_place_does_not_need_the_others(blocks: int, heads: int) -> None:
    torch.manual_seed(5)
    model = Encoder(30, EncoderConfig(history_length=12, dimension=8, blocks=blocks, heads=heads))
    model.eval()
    items = torch.randint(1, 31, (6, 12))
    kinds = torch.randint(1, 5, (6, 12))
    for customer, known in enumerate((0, 1, 3, 7, 11, 12)):  # padded on the left
        items[customer, : 12 - known] = 0
        kinds[customer, : 12 - known] = 0

    with torch.no_grad():
        found, whole = model(items, kinds), model.hidden(items, kinds)

    assert whole.shape == (6, 12, 8)
    assert torch.allclose(found, whole[:, -1], atol=1e-5)
    assert not torch.allclose(found[0], found[5], atol=1e-2)
