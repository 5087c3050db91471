"""The encoders of a run: A learns and stops, B has newer events, C is served."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from nearline.say import say
from training import encoder, warm_start
from training.config import EncoderConfig, TrainingConfig
from training.datasets import Dataset, Interactions, NotEnoughHistory, Split
from training.encoder_content import ItemContent
from training.encoder_model import Encoder
from training.encoder_trial import EncoderTrial
from training.evaluation import retrieval_trial
from training.journal import Journal, Watch
from training.leaks import check_learnt
from training.neighbours import start_vectors
from training.sequences import Questions, questions, windows

# What an encoder's checkpoint holds and means depends on these.
_LEARNS = tuple(
    Path(__file__).with_name(f"{name}.py")
    for name in ("encoder", "encoder_content", "encoder_model", "neighbours", "sequences")
)


Fit = Callable[..., Encoder]


@dataclass(frozen=True, slots=True)
class Encoders:
    """Three of one line; see `pipeline` for the instants that part them."""

    first: Encoder  # A: up to T1, what the ranker learns with
    judged: Encoder  # B: A refitted up to T2
    served: Encoder  # B's successor, refitted up to the end
    parent: str = ""  # version whose A the first began with; empty when it began from nothing


def fingerprint(dataset: Dataset, config: TrainingConfig) -> str:
    """Changes when the data, the configuration or the code that learns does: names checkpoints."""
    digest = hashlib.sha256(repr(sorted(config.flat().items())).encode())
    for path in _LEARNS:
        digest.update(path.read_bytes())
    data = dataset.interactions
    came_us = np.array(dataset.first_seen_us, np.int64)
    times = (data.occurred_at_us, data.known_at_us, came_us)
    for array in (data.customer, data.item, data.kind, *times):
        digest.update(np.ascontiguousarray(array).tobytes())
    for words in (dataset.items.item_ids, dataset.categories, map(str, dataset.prices_cents)):
        digest.update("\n".join(words).encode())
    for stated in (dataset.stated_categories, dataset.stated_prices):
        if stated is not None:  # What was known at the cut may change while the newest stays.
            digest.update(np.stack([stated.item_N, stated.known_at_us_N]).tobytes())
            digest.update("\n".join(map(str, stated.values)).encode())
    return digest.hexdigest()[:16]


def learn(
    dataset: Dataset,
    parts: Split,
    config: TrainingConfig,
    checkpoints: Path,
    watch: Watch,
    journal: Journal,
    line: warm_start.Line | None = None,
    fit: Fit = encoder.fit,
) -> Encoders:
    """Learn, refit twice, and judge B beside the simple models; begins with `line` if it can.

    `fit` is `encoder.fit`, or what does the same elsewhere.
    """
    data, items, shape = dataset.interactions, len(dataset.items), config.encoder
    train = data.until(parts.train_until_us)
    check_learnt(train, dataset, parts.train_until_us, "the encoder")
    if not len(windows(train, shape.history_length)):
        occurred = int((data.occurred_at_us <= parts.train_until_us).sum())
        raise NotEnoughHistory(
            "no customer in its first part met two items one after the other, among the "
            f"{len(train):,} of {occurred:,} interactions there that were known by its end",
            "Let it grow, or check that item ids and consent are sent; a past that was sent to "
            "the collector afterwards was not known then: bring it in with `nearline import`.",
        )
    content = ItemContent.of(
        dataset.categories_by(parts.train_until_us),
        dataset.prices_by(parts.train_until_us),
        dataset.known_by(parts.train_until_us),
    )
    warm = _warm(line, dataset, train, parts.train_until_us, shape, content, watch)
    if warm:
        shape = replace(
            shape,
            max_epochs=shape.warm_epochs,
            patience=shape.warm_patience,
            learning_rate=shape.warm_learning_rate,
        )
    watch.stage(say("encoder", "序列模型"), shape.max_epochs)

    def on_epoch(figures: dict[str, float]) -> None:
        journal.curve.append(figures)
        watch.step(
            note=f"loss {figures['loss']:.3f}  NDCG@10 {figures['ndcg_at_10']:.4f}  "
            f"recall@20 {figures['recall_at_20']:.4f}"
        )

    first = fit(
        train,
        items,
        _questions(data, parts.train_until_us, parts.validate_until_us, config, test=False),
        shape,
        start=warm.vectors_ID
        if warm
        else start_vectors(train, items, shape.dimension, config.seed),
        seed=config.seed,
        checkpoint=_checkpoint(
            checkpoints, fingerprint(dataset, config) + (f"-{warm.parent}" if warm else "")
        ),
        report=on_epoch,
        content=content,
        network=warm.network if warm else None,
    )
    warm_start.keep(checkpoints, first, dataset, parts.train_until_us, shape, warm)
    watch.stage(say("encoder: newer events", "序列模型：加入新事件"), 2)
    judged = _refitted(first, dataset, parts.train_until_us, parts.validate_until_us, config)
    watch.step()
    served = _refitted(judged, dataset, parts.validate_until_us, dataset.known_to_us, config)
    watch.step()
    _judge_retrieval(judged, dataset, parts, config, watch, journal)
    return Encoders(first, judged, served, warm.parent if warm else "")


def _warm(
    line: warm_start.Line | None,
    dataset: Dataset,
    train: Interactions,
    until_us: int,
    shape: EncoderConfig,
    content: ItemContent | None,
    watch: Watch,
) -> warm_start.Warm | None:
    """Where to begin; None for nothing, with the reason told."""
    if line is None:
        return None
    try:
        return warm_start.begin(line, dataset, train, until_us, shape, content)
    except warm_start.CannotBegin as why:
        watch.tell(say(f"The encoder begins from nothing: {why}.", f"编码器从头训练：{why}。"))
        return None


def _refitted(
    model: Encoder, dataset: Dataset, known_until_us: int, until_us: int, config: TrainingConfig
) -> Encoder:
    data = dataset.interactions
    known_I = np.zeros(len(dataset.items), bool)
    known_I[data.until(known_until_us).item] = True
    seed = config.seed + until_us % 1_000
    learn = data.until(until_us)
    check_learnt(learn, dataset, until_us, "the refitted encoder")
    categories, prices = dataset.categories_by(until_us), dataset.prices_by(until_us)
    return encoder.refit(model, learn, known_I, categories, prices, config.encoder, seed)


def _judge_retrieval(
    model: Encoder,
    dataset: Dataset,
    parts: Split,
    config: TrainingConfig,
    watch: Watch,
    journal: Journal,
) -> None:
    learnt_until_us = parts.validate_until_us
    test = _questions(dataset.interactions, learnt_until_us, parts.test_until_us, config, test=True)
    asked = retrieval_trial.Asked(test, dataset, learnt_until_us, dataset.known_by(learnt_until_us))
    places = retrieval_trial.judge(asked, encoder.scorer(model), config.seed, watch, journal)
    journal.encoder_trial = EncoderTrial(test, asked.known_I, places, learnt_until_us)


def _questions(
    data: Any, after_us: int, until_us: int, config: TrainingConfig, *, test: bool
) -> Questions:
    shape = config.encoder
    limit = shape.test_cases if test else shape.validation_cases
    return questions(data, shape.history_length, after_us, until_us, limit, config.seed)


def _checkpoint(folder: Path, name: str) -> Path:
    """The file of this data and configuration; those of others are removed."""
    kept = folder / f"encoder-{name}.pt"
    for path in folder.glob("encoder-*.pt"):
        if path != kept:
            path.unlink(missing_ok=True)
    return kept
