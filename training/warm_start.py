"""Beginning an encoder where the last one stood, instead of from nothing.

What is kept is encoder A of a run, which learnt up to that run's T1 and not a day further. The
next run's T1 lies at or after it, so what begins here has seen none of the events that judge it
(see `pipeline` for the instants). What was served then has seen them, and must not be begun with.

Items are found again by their ids, categories by their names; an item that A never met begins
beside its neighbours. Files lie in the checkpoints folder, one a version, never in a bundle.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from nearline.say import Words
from training.config import EncoderConfig
from training.datasets import Dataset, Interactions
from training.encoder import item_vectors
from training.encoder_content import ItemContent
from training.encoder_model import Encoder
from training.neighbours import fill_cold

# Axes: I items, D dimensions.
KEPT = 5
_FORM = 1
_OWN_ROWS = ("item.weight", "category.weight", "band.weight")  # Rows that mean something by name.


@dataclass(frozen=True)
class Line:
    """An encoder A with all that is needed to go on from it, as it lies on the disk."""

    version: str
    held: dict[str, Any]

    @property
    def generation(self) -> int:
        """Runs since one that began from nothing."""
        return int(self.held["generation"])


@dataclass(frozen=True)
class Warm:
    """A beginning that fits this run's items. `network` is a part of a model's state."""

    parent: str
    generation: int
    vectors_ID: npt.NDArray[np.float32]
    network: dict[str, torch.Tensor]


class CannotBegin(Exception):
    """A run must begin from nothing; its text says why in the reader's language, no full stop."""

    def __init__(self, en: str, zh: str) -> None:
        super().__init__(Words(en, zh))


def keep(
    folder: Path,
    model: Encoder,
    dataset: Dataset,
    until_us: int,
    shape: EncoderConfig,
    warm: Warm | None,
) -> None:
    """Lay an encoder A aside until its version has a number."""
    content = model.content
    held = {
        "form": _FORM,
        "shape": _shape(shape),
        "generation": warm.generation + 1 if warm else 0,
        "until_us": until_us,
        "item_ids": list(dataset.items.item_ids),
        "met": np.unique(dataset.interactions.until(until_us).item).tolist(),
        "vectors": torch.from_numpy(item_vectors(model)),
        "categories": list(content.names) if content else [],
        "edges_cents": list(content.edges_cents) if content else [],
        "state": {
            name: value.cpu() for name, value in model.state_dict().items() if name != "item.weight"
        },
    }
    folder.mkdir(parents=True, exist_ok=True)
    aside = folder / "line-pending.tmp"
    torch.save(held, aside)
    aside.replace(folder / "line-pending.pt")


def number(folder: Path, version: str, also: Collection[str] = ()) -> None:
    """Name what was laid aside after its version; keeps the newest few and those of `also`."""
    pending = folder / "line-pending.pt"
    if pending.is_file():
        pending.replace(folder / f"line-{version}.pt")
    numbered = [
        path
        for path in folder.glob("line-*.pt")
        if path.stem[5:].isdigit() and path.stem[5:] not in also
    ]
    for path in sorted(numbered, key=lambda path: int(path.stem[5:]))[:-KEPT]:
        path.unlink(missing_ok=True)


def find(folder: Path, version: str) -> Line | None:
    """The encoder A of a version; None where it was not kept, or cannot be read."""
    path = folder / f"line-{version}.pt"
    if not version or not path.is_file():
        return None
    try:
        held = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, ValueError, LookupError, UnpicklingError):
        return None  # A damaged file costs the head start, and nothing else.
    return Line(version, held) if held.get("form") == _FORM else None


def begin(
    line: Line,
    dataset: Dataset,
    train: Interactions,
    until_us: int,
    shape: EncoderConfig,
    content: ItemContent | None,
) -> Warm:
    """Where a run that learns from `train`, all up to `until_us`, begins; raises CannotBegin."""
    held = line.held
    if held["shape"] != _shape(shape):
        raise CannotBegin(
            f"version {line.version} has another shape of encoder",
            f"版本 {line.version} 的编码器形状不同",
        )
    if held["until_us"] > until_us:
        raise CannotBegin(
            f"version {line.version} has learnt from events that judge this run",
            f"版本 {line.version} 已学过本次用于评估的事件",
        )
    if line.generation >= shape.warm_generations:
        raise CannotBegin(
            f"{line.generation} runs have gone on from one another",
            f"已连续接力训练 {line.generation} 次",
        )
    if bool(held["categories"]) != (content is not None):
        raise CannotBegin(
            f"version {line.version} knew other things of its items",
            f"版本 {line.version} 所知的商品信息不同",
        )
    vectors, known_I = _vectors(held, dataset)
    if not known_I.any():
        raise CannotBegin(
            f"none of the items of version {line.version} is left",
            f"版本 {line.version} 的商品已全部不在",
        )
    vectors = fill_cold(vectors, known_I, train, dataset.categories)
    met_I = np.zeros(len(vectors), bool)
    met_I[train.item] = True
    vectors[~met_I] = 0.0  # As in a beginning from nothing: what nobody met competes with nobody.
    state: dict[str, torch.Tensor] = held["state"]
    network = {name: value for name, value in state.items() if name not in _OWN_ROWS}
    if content is not None:
        network["category.weight"] = _categories(held, content)
        if held["edges_cents"] == list(content.edges_cents):
            network["band.weight"] = state["band.weight"]
    return Warm(line.version, line.generation, vectors, network)


def _vectors(
    held: dict[str, Any], dataset: Dataset
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Item vectors (I, D) in the order of this data set, and which of them were learnt."""
    before = held["vectors"].numpy()
    met = set(held["met"])
    row_of = {item_id: row for row, item_id in enumerate(held["item_ids"]) if row in met}
    rows = np.array([row_of.get(item_id, -1) for item_id in dataset.items.item_ids], np.int64)
    vectors = np.zeros((len(rows), before.shape[1]), np.float32)
    vectors[rows >= 0] = before[rows[rows >= 0]]
    return vectors, rows >= 0


def _categories(held: dict[str, Any], content: ItemContent) -> torch.Tensor:
    """Rows of categories by name; a new one begins as the mean of the others."""
    weight: torch.Tensor = held["state"]["category.weight"]
    row_of = {name: row for row, name in enumerate(held["categories"], start=1)}
    mean = weight[1:].mean(0)
    rows = [weight[row_of[name]] if name in row_of else mean for name in content.names]
    return torch.stack([torch.zeros_like(mean), *rows])


def _shape(config: EncoderConfig) -> list[int]:
    return [config.history_length, config.dimension, config.blocks, config.heads]
