"""Teaching the encoder: early stopping on the validation part, then newer events added.

After every epoch all that is needed to go on is on disk, so a run that was stopped goes on
where it was.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from nearline.transforms.content import ContentTable
from training.baselines import ranks
from training.config import EncoderConfig
from training.datasets import Interactions
from training.encoder_content import ItemContent
from training.encoder_model import Encoder, sampled_softmax_loss
from training.metrics import single_target
from training.neighbours import fill_cold
from training.sequences import Questions, Windows, windows
from training.team import ALONE, Team

# Axes: Q questions, I items, D dimensions.
Report = Callable[[dict[str, float]], None]

_POOL = 16  # Batches drawn together and parted by length.


@dataclass
class _Progress:
    """Where training stands; everything in it survives a stop."""

    epoch: int = 0
    best_epoch: int = 0
    best_ndcg: float = -1.0
    best: dict[str, Any] = field(default_factory=dict)


class Mean:
    """The running mean of a model's weights over its last steps; steadier than the last step.

    After Polyak and Juditsky 1992, exponential: each step moves the mean by `1 - decay`, by more
    in the beginning. A decay of 0 keeps the last step.
    """

    def __init__(self, model: Encoder, optimizer: torch.optim.Optimizer, decay: float) -> None:
        self.model = copy.deepcopy(model).eval()
        self.steps = 0
        self._of, self._decay = model, decay
        optimizer.register_step_post_hook(lambda *_: self._follow())

    def _follow(self) -> None:
        self.steps += 1
        decay = min(self._decay, (1 + self.steps) / (10 + self.steps))
        with torch.no_grad():
            for mine, its in zip(self.model.parameters(), self._of.parameters(), strict=True):
                mine.lerp_(its, 1.0 - decay)


def fit(
    interactions: Interactions,
    items: int,
    validation: Questions,
    config: EncoderConfig,
    *,
    start: npt.NDArray[np.float32],
    seed: int,
    checkpoint: Path,
    report: Report,
    content: ItemContent | None = None,
    network: Mapping[str, torch.Tensor] | None = None,
    team: Team = ALONE,
) -> Encoder:
    """Return the encoder of the best epoch by validation NDCG@10, full ranking.

    Item vectors begin at `start` (I, D), row = item_index. With `network`, the rest begins
    there as well (see `warm_start`), and that beginning is a candidate too. `report` gets
    epoch, loss, ndcg_at_10 and recall_at_20 after each epoch. With no validation questions it
    runs all epochs and keeps the last. A checkpoint at the given path is taken up; the caller
    names it after the data and the configuration. A `team` shares the work (see there).
    """
    device = _device()
    torch.manual_seed(seed)
    model = Encoder(items, config, content).to(device)
    _describe(model, start)
    if network is not None:
        model.load_state_dict(network, strict=False)
    _put(model, start)
    optimizer = torch.optim.Adam(model.parameters(), lr=config.learning_rate)
    team.attend(model, optimizer)
    mean = Mean(model, optimizer, config.averaging)
    progress = _taken_up(checkpoint, model, optimizer, mean)
    if network is not None and progress.epoch == 0 and len(validation):
        begun = single_target(ranks(validation, scorer(model)), 10)[1]
        progress.best_ndcg = team.agree({"ndcg_at_10": begun})["ndcg_at_10"]
        progress.best = copy.deepcopy(model.state_dict())
    lessons = team.share(windows(interactions, config.history_length, repeats=config.repeats))
    shape = replace(config, batch_size=team.batch_size(config.batch_size))
    warm = np.unique(interactions.item) + 1
    while (
        progress.epoch < config.max_epochs
        and progress.epoch - progress.best_epoch < config.patience
    ):
        progress.epoch += 1
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(config, progress.epoch)
        draw = team.draw(seed + progress.epoch)
        loss = _epoch(model, optimizer, lessons, warm, shape, draw)
        places = ranks(validation, scorer(mean.model))
        recall, ndcg = single_target(places, 20)[0], single_target(places, 10)[1]
        figures = team.agree({"loss": loss, "ndcg_at_10": ndcg, "recall_at_20": recall})
        if len(validation) == 0 or figures["ndcg_at_10"] > progress.best_ndcg:
            progress.best_epoch, progress.best_ndcg = progress.epoch, figures["ndcg_at_10"]
            progress.best = copy.deepcopy(mean.model.state_dict())
        _save(checkpoint, model, optimizer, mean, progress)
        report({"epoch": progress.epoch, **figures})
        team.kept(checkpoint)
    model.load_state_dict(progress.best)
    return model.eval()


def learning_rate(config: EncoderConfig, epoch: int) -> float:
    """The rate of one epoch, counted from 1: level, then in a straight line towards 0.

    A line beats steps and cosines where the number of epochs is given (Bergsma et al. 2025).
    """
    if not 0 < config.cooling_from < epoch:
        return config.learning_rate
    left, whole = (config.max_epochs + 1 - end for end in (epoch, config.cooling_from))
    return config.learning_rate * left / whole


def refit(
    model: Encoder,
    interactions: Interactions,
    known_I: npt.NDArray[np.bool_],
    categories: Sequence[str],
    prices_cents: Sequence[int],
    config: EncoderConfig,
    seed: int,
) -> Encoder:
    """A copy that has also learnt newer interactions: give it all of them, old and new.

    Items that the model had not met (not `known_I`) begin beside their neighbours, or amid
    their category; those still never met stay there.
    """
    model = copy.deepcopy(model)
    vectors_ID = fill_cold(item_vectors(model), known_I, interactions, categories)
    if model.content is not None:
        model.restate(model.content.restated(categories, prices_cents))
    _put(model, vectors_ID)
    if not config.refit_epochs:
        return model.eval()
    lessons = windows(interactions, config.history_length, repeats=config.repeats)
    warm = np.unique(interactions.item) + 1
    optimizer = torch.optim.Adam(model.parameters(), lr=config.learning_rate)
    mean = Mean(model, optimizer, config.averaging)
    for epoch in range(config.refit_epochs):
        _epoch(model, optimizer, lessons, warm, config, seed + epoch)
    return mean.model


def scorer(model: Encoder) -> Callable[[Questions], npt.NDArray[np.float32]]:
    """Inner products with every item, for full ranking."""

    def scores(questions: Questions) -> npt.NDArray[np.float32]:
        return query_vectors(model, questions.items_WL, questions.kinds_WL) @ item_vectors(model).T

    return scores


def query_vectors(
    model: Encoder, items_QL: npt.NDArray[np.int64], kinds_QL: npt.NDArray[np.int64]
) -> npt.NDArray[np.float32]:
    """(Q, D) float32."""
    model.eval()
    device = next(model.parameters()).device
    with torch.inference_mode():
        parts = [
            model(
                torch.from_numpy(items_QL[start : start + 512]).to(device),
                torch.from_numpy(kinds_QL[start : start + 512]).to(device),
            )
            for start in range(0, len(items_QL), 512)
        ]
    if not parts:
        return np.zeros((0, model.item.embedding_dim), np.float32)
    return np.asarray(torch.cat(parts).cpu().numpy(), np.float32)


def item_vectors(model: Encoder) -> npt.NDArray[np.float32]:
    """(I, D) float32, row = item_index."""
    return np.asarray(model.table()[1:].detach().cpu().numpy(), np.float32)


def content_table(model: Encoder) -> ContentTable | None:
    """The vectors that an item has before anybody meets it; None without known categories."""
    if model.content is None:
        return None
    return model.content.table(
        *(
            np.asarray(part.weight.detach().cpu().numpy(), np.float32)
            for part in (model.category, model.band)
        )
    )


def _epoch(
    model: Encoder,
    optimizer: torch.optim.Optimizer,
    lessons: Windows,
    warm: npt.NDArray[np.int64],
    config: EncoderConfig,
    seed: int,
) -> float:
    """One pass over the windows in random order; returns the mean loss per target."""
    model.train()
    torch.manual_seed(seed)  # Dropout too: a run that went on equals one that never stopped.
    device = next(model.parameters()).device
    generator = np.random.default_rng(seed)
    total, count = 0.0, 0
    for items, kinds, targets in _batches(lessons, config.batch_size, generator):
        others = 0 < config.negatives < len(warm)
        negatives = generator.choice(warm, config.negatives, replace=False) if others else warm
        # Without its own part, an item must be found by its category and price alone.
        keep = (torch.rand(model.item.num_embeddings) >= config.id_dropout).to(device)
        table = model.table(keep)
        hidden = model.hidden(items.to(device), kinds.to(device), table)
        wanted = (targets > 0).to(device)  # Padding and repeats leave before the loss.
        loss = sampled_softmax_loss(
            hidden[wanted],
            targets.to(device)[wanted],
            torch.from_numpy(negatives).to(device),
            table,
        )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        places = int(wanted.sum())
        total, count = total + float(loss.detach()) * places, count + places
    return total / max(count, 1)


def _batches(
    lessons: Windows, size: int, generator: np.random.Generator
) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
    """All windows once, in random batches of about equal length: most places then hold an item.

    Columns in which all of a batch pad are cut off.
    """
    used_W = (lessons.items_WL > 0).sum(axis=1)
    order = generator.permutation(len(lessons))
    pool = size * _POOL
    batches: list[npt.NDArray[np.int64]] = []
    for start in range(0, len(order), pool):
        rows = order[start : start + pool]
        rows = rows[np.argsort(used_W[rows], kind="stable")]
        batches += [rows[first : first + size] for first in range(0, len(rows), size)]
    for number in generator.permutation(len(batches)):
        rows = batches[number]
        used = int(used_W[rows].max())
        yield (
            torch.from_numpy(lessons.items_WL[rows, -used:]),
            torch.from_numpy(lessons.kinds_WL[rows, -used:]),
            torch.from_numpy(lessons.targets_WL[rows, -used:]),
        )


def _put(model: Encoder, vectors: npt.NDArray[np.float32]) -> None:
    """Give every item the vector in its row (I, D), whatever its content says."""
    with torch.no_grad():
        wanted = torch.from_numpy(vectors).to(model.item.weight.device)
        model.item.weight[1:] = wanted - model.described()[1:]


def _describe(model: Encoder, start: npt.NDArray[np.float32]) -> None:
    """Let each category begin amid its items."""
    if model.content is None:
        return
    category_I = model.content.category_I
    met_I = np.any(start != 0, axis=1)  # The others say nothing of their category.
    counts = np.bincount(category_I[met_I], minlength=len(model.content.names) + 1)
    sums = np.zeros((len(counts), start.shape[1]))
    np.add.at(sums, category_I, start)
    means = sums / np.maximum(counts, 1)[:, None]
    means[0] = 0.0
    with torch.no_grad():
        weight = model.category.weight
        weight.copy_(torch.from_numpy(means.astype(np.float32)).to(weight.device))


def _taken_up(
    path: Path, model: Encoder, optimizer: torch.optim.Optimizer, mean: Mean
) -> _Progress:
    """Where an earlier run stood, with its weights put in; a fresh start without a checkpoint."""
    if not path.is_file():
        return _Progress()
    try:
        held = torch.load(path, map_location=_device(), weights_only=True)
    except (RuntimeError, EOFError, ValueError, LookupError, UnpicklingError):
        return _Progress()  # A damaged file costs the epochs in it, and nothing else.
    model.load_state_dict(held["model"])
    optimizer.load_state_dict(held["optimizer"])
    mean.model.load_state_dict(held["mean"])
    mean.steps = held["steps"]
    return _Progress(**held["progress"])


def _save(
    path: Path,
    model: Encoder,
    optimizer: torch.optim.Optimizer,
    mean: Mean,
    progress: _Progress,
) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(".tmp")
    held = {
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "mean": mean.model.state_dict(),
        "steps": mean.steps,
        "progress": asdict(progress),
    }
    torch.save(held, aside)
    aside.rename(path)


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
