"""The encoder as ONNX: what serving runs, without torch."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path

import torch

from training.encoder_model import Encoder


def export(model: Encoder, path: Path) -> None:
    """Write the encoder: `items` and `kinds` int64 (batch, L) in, `query` float32 (batch, D) out.

    The batch axis is free, L is the model's history length.
    """
    model = copy.deepcopy(model).cpu().eval()
    with torch.no_grad():  # One table of whole vectors: serving need not know what made them.
        model.item.weight.copy_(model.table())
    model.content = None
    # Two histories, one of them empty, so that nothing is folded into a constant.
    items = torch.zeros((2, model.length), dtype=torch.int64)
    items[0, -1] = 1
    with warnings.catch_warnings():
        # torch prefers its newer exporter, which needs packages that serving does without.
        for said in ("You are using the legacy TorchScript-based", "The feature will be removed"):
            warnings.filterwarnings("ignore", message=said, category=DeprecationWarning)
        torch.onnx.export(
            model,
            (items, items.clone()),
            str(path),
            input_names=["items", "kinds"],
            output_names=["query"],
            dynamic_axes={name: {0: "batch"} for name in ("items", "kinds", "query")},
            opset_version=17,
            dynamo=False,
        )
