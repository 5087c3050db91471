"""The encoders of a run: A learns and stops, B has newer events, C is served."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from nearline.say import say
from training import baselines, encoder
from training.config import TrainingConfig
from training.datasets import Dataset, NotEnoughHistory, Split
from training.encoder_content import ItemContent
from training.encoder_model import Encoder
from training.encoder_trial import EncoderTrial
from training.journal import Journal, Watch
from training.metrics import single_target
from training.neighbours import start_vectors
from training.sequences import Questions, questions, windows

# What an encoder's checkpoint holds and means depends on these.
_LEARNS = tuple(
    Path(__file__).with_name(f"{name}.py")
    for name in ("encoder", "encoder_content", "encoder_model", "neighbours", "sequences")
)


@dataclass(frozen=True, slots=True)
class Encoders:
    """Three of one line; see `pipeline` for the instants that part them."""

    first: Encoder  # A: up to T1, what the ranker learns with
    judged: Encoder  # B: A refitted up to T2
    served: Encoder  # B's successor, refitted up to the end


def fingerprint(dataset: Dataset, config: TrainingConfig) -> str:
    """Changes when the data, the configuration or the code that learns does: names checkpoints."""
    digest = hashlib.sha256(repr(sorted(config.flat().items())).encode())
    for path in _LEARNS:
        digest.update(path.read_bytes())
    data = dataset.interactions
    for array in (data.customer, data.item, data.kind, data.occurred_at_us):
        digest.update(np.ascontiguousarray(array).tobytes())
    for words in (dataset.items.item_ids, dataset.categories, map(str, dataset.prices_cents)):
        digest.update("\n".join(words).encode())
    return digest.hexdigest()[:16]


def learn(
    dataset: Dataset,
    parts: Split,
    config: TrainingConfig,
    checkpoints: Path,
    watch: Watch,
    journal: Journal,
) -> Encoders:
    """Learn, refit twice, and judge B beside the simple models."""
    data, items, shape = dataset.interactions, len(dataset.items), config.encoder
    train = data.until(parts.train_until_us)
    if not len(windows(train, shape.history_length)):
        raise NotEnoughHistory(
            "no customer in its first part met two items one after the other",
            "Let it grow, or check that item ids and consent are sent.",
        )
    watch.stage(say("encoder", "序列模型"), shape.max_epochs)

    def on_epoch(figures: dict[str, float]) -> None:
        journal.curve.append(figures)
        watch.step(
            note=f"loss {figures['loss']:.3f}  NDCG@10 {figures['ndcg_at_10']:.4f}  "
            f"recall@20 {figures['recall_at_20']:.4f}"
        )

    first = encoder.fit(
        train,
        items,
        _questions(data, parts.train_until_us, parts.validate_until_us, config, test=False),
        shape,
        start=start_vectors(train, items, shape.dimension, config.seed),
        seed=config.seed,
        checkpoint=_checkpoint(checkpoints, fingerprint(dataset, config)),
        report=on_epoch,
        content=ItemContent.of(dataset.categories, dataset.prices_cents),
    )
    watch.stage(say("encoder: newer events", "序列模型：加入新事件"), 2)
    judged = _refitted(first, dataset, parts.train_until_us, parts.validate_until_us, config)
    watch.step()
    served = _refitted(judged, dataset, parts.validate_until_us, dataset.to_us, config)
    watch.step()
    _judge_retrieval(judged, dataset, parts, config, watch, journal)
    return Encoders(first, judged, served)


def _refitted(
    model: Encoder, dataset: Dataset, known_until_us: int, until_us: int, config: TrainingConfig
) -> Encoder:
    data = dataset.interactions
    known_I = np.zeros(len(dataset.items), bool)
    known_I[data.until(known_until_us).item] = True
    seed = config.seed + until_us % 1_000
    return encoder.refit(
        model, data.until(until_us), known_I, dataset.categories, config.encoder, seed
    )


def _judge_retrieval(
    model: Encoder,
    dataset: Dataset,
    parts: Split,
    config: TrainingConfig,
    watch: Watch,
    journal: Journal,
) -> None:
    data, items = dataset.interactions, len(dataset.items)
    test = _questions(data, parts.validate_until_us, parts.test_until_us, config, test=True)
    past, known_I = data.until(parts.validate_until_us), dataset.known_by(parts.validate_until_us)
    journal.metrics["test_questions_of_new_items"] = float((~known_I[test.targets_W]).sum())
    rivals = {
        "encoder": baselines.knowing(encoder.scorer(model), known_I),
        "rules": baselines.knowing(baselines.sequential_rules(past, items), known_I),
        "popularity": baselines.knowing(baselines.popularity(past, items), known_I),
        "popularity_7d": baselines.recent_popularity(data, items, 7.0),
    }
    watch.stage(say("encoder against simple rules", "与简单方法比较"), len(rivals))
    journal.metrics["test_questions"] = float(len(test))
    for name, scorer in rivals.items():
        places = baselines.ranks(test, scorer)
        if name == "encoder":
            journal.encoder_trial = EncoderTrial(test, known_I, places, parts.validate_until_us)
        recall, ndcg = single_target(places, 20)[0], single_target(places, 10)[1]
        journal.metrics |= {f"{name}_recall_at_20": recall, f"{name}_ndcg_at_10": ndcg}
        watch.step(note=f"{name} NDCG@10 {ndcg:.4f}")


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
