"""From history to everything that a bundle holds, stage by stage.

Time is cut at two instants, T1 < T2. Encoder A learns up to T1 and stops by what follows.
The ranker learns from moments in (T1, T2], where A has not learnt. Encoder B is A refitted
up to T2; B with the ranker is judged on the test part after T2. What is served is B's
successor, refitted up to the end: the same procedure one step later, so the figures are those
of the procedure, and no event that judged it was learnt from. An item that arrived after T1 or
T2 is unknown to what was learnt by then, as it is to a bundle that serves: it counts as missed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from nearline.contracts.bundle import Lineage
from nearline.say import say
from nearline.transforms.buckets import HOUR_US
from training import baselines, churn, encoder, ranker
from training.bundle import Learnt
from training.config import TrainingConfig
from training.datasets import Dataset, NotEnoughHistory, Split, split
from training.encoder_model import Encoder
from training.label_points import Point, points
from training.metrics import single_target
from training.neighbours import start_vectors
from training.ranking_rows import ask, lessons, rows_of
from training.retrieval import Retriever
from training.sequences import Questions, questions, windows
from training.states import States

# What an encoder's checkpoint holds and means depends on these.
_LEARNS = tuple(
    Path(__file__).with_name(f"{name}.py")
    for name in ("encoder", "encoder_model", "neighbours", "sequences")
)
_FEWEST_LESSONS = 20  # Questions that the ranker needs to learn from, and half to stop by.


class Watch(Protocol):
    """Whoever looks on while training runs."""

    def stage(self, title: str, total: int) -> None: ...

    def step(self, advance: int = 1, note: str = "") -> None: ...

    def tell(self, sentence: str) -> None: ...


@dataclass
class Journal:
    """What a run leaves besides its models: figures, curves and what was left out."""

    metrics: dict[str, float] = field(default_factory=dict)
    curve: list[dict[str, float]] = field(default_factory=list)  # the encoder's, by epoch
    left_out: list[str] = field(default_factory=list)


def run(
    dataset: Dataset,
    states: States,
    config: TrainingConfig,
    *,
    checkpoints: Path,
    threads: int,
    left_at_us: Mapping[str, int] | None,
    lineage: Lineage,
    watch: Watch,
) -> tuple[Learnt, Journal]:
    """Learn everything; raises NotEnoughHistory when there is nothing to learn from.

    A ranker or churn model that the history cannot teach is left out, with the reason in the
    journal.
    """
    parts = split(dataset.interactions, config.split)
    journal = Journal()
    judged, served, first = _encoders(dataset, parts, config, checkpoints, watch, journal)
    booster = _ranker(dataset, parts, states, (first, judged), config, threads, watch, journal)
    models = _churn(dataset, states, config, threads, left_at_us, watch, journal)
    popular = baselines.popular_items(
        dataset.interactions, dataset.to_us, config.popular_days, config.popular_items
    )
    learnt = Learnt(dataset, served, popular, booster, models, journal.metrics, lineage)
    return learnt, journal


def fingerprint(dataset: Dataset, config: TrainingConfig) -> str:
    """Changes when the data, the configuration or the code that learns does: names checkpoints."""
    digest = hashlib.sha256(repr(sorted(config.flat().items())).encode())
    for path in _LEARNS:
        digest.update(path.read_bytes())
    data = dataset.interactions
    for array in (data.customer, data.item, data.kind, data.occurred_at_us):
        digest.update(np.ascontiguousarray(array).tobytes())
    digest.update("\n".join(dataset.items.item_ids).encode())
    return digest.hexdigest()[:16]


def _encoders(
    dataset: Dataset,
    parts: Split,
    config: TrainingConfig,
    checkpoints: Path,
    watch: Watch,
    journal: Journal,
) -> tuple[Encoder, Encoder, Encoder]:
    """(judged, served, first): B, its successor, and A."""
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
    )
    watch.stage(say("encoder: newer events", "序列模型：加入新事件"), 2)
    judged = _refitted(first, dataset, parts.train_until_us, parts.validate_until_us, config)
    watch.step()
    served = _refitted(judged, dataset, parts.validate_until_us, dataset.to_us, config)
    watch.step()
    _judge_retrieval(judged, dataset, parts, config, watch, journal)
    return judged, served, first


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
        recall, ndcg = single_target(places, 20)[0], single_target(places, 10)[1]
        journal.metrics |= {f"{name}_recall_at_20": recall, f"{name}_ndcg_at_10": ndcg}
        watch.step(note=f"{name} NDCG@10 {ndcg:.4f}")


def _ranker(
    dataset: Dataset,
    parts: Split,
    states: States,
    encoders: tuple[Encoder, Encoder],
    config: TrainingConfig,
    threads: int,
    watch: Watch,
    journal: Journal,
) -> Any | None:
    shape, seed = config.ranker, config.seed
    moments = _moments(dataset, parts.train_until_us, parts.validate_until_us, config, test=False)
    watch.stage(say("ranker: features as of each moment", "排序：按时间点取特征"), 3)
    retriever = _retriever(encoders[0], dataset, parts.train_until_us, config)
    asked = ask(moments, dataset, retriever, states)
    watch.step()
    later_us = _quantile([one.as_of_us for one in asked], 1.0 - shape.validation_share)
    window_us = int(shape.label_hours * HOUR_US)
    teach = [one for one in asked if one.as_of_us + window_us <= later_us]
    stop = [one for one in asked if one.as_of_us > later_us]
    teach = lessons(teach, shape.negatives_per_point, seed)
    stop = lessons(stop, shape.negatives_per_point, seed)
    if len(teach) < _FEWEST_LESSONS or len(stop) < _FEWEST_LESSONS // 2:
        _leave_out(
            f"the ranker: it needs {_FEWEST_LESSONS} moments at which retrieval named what was "
            f"met next, and found {len(teach)} to learn from and {len(stop)} to stop by",
            watch,
            journal,
        )
        return None
    train, validation = rows_of(teach, states), rows_of(stop, states)
    watch.step()
    booster = ranker.fit(train, validation, shape, seed, threads)
    retriever = _retriever(encoders[1], dataset, parts.validate_until_us, config)
    moments = _moments(dataset, parts.validate_until_us, parts.test_until_us, config, test=True)
    test = ask(moments, dataset, retriever, states)
    journal.metrics["ranker_train_questions"] = float(len(teach))
    journal.metrics["ranker_test_questions"] = float(len(test))
    if test:
        rows = rows_of(test, states)
        verdict = ranker.judge(test, ranker.scores(booster, rows), rows, seed)
        journal.metrics |= {f"rank_{name}_ndcg_at_10": v for name, v in verdict.ndcg.items()}
        names = ("ranker_lead", "ranker_lead_low", "ranker_lead_high")
        journal.metrics |= dict(zip(names, verdict.lead, strict=True))
        watch.step(
            note=f"NDCG@10 {verdict.ndcg['ranker']:.4f}, best source "
            f"{verdict.best_source} {verdict.ndcg[verdict.best_source]:.4f}"
        )
    return booster


def _churn(
    dataset: Dataset,
    states: States,
    config: TrainingConfig,
    threads: int,
    left_at_us: Mapping[str, int] | None,
    watch: Watch,
    journal: Journal,
) -> list[churn.ChurnModel]:
    watch.stage(say("churn", "流失"), len(config.churn.horizons_days))
    models: list[churn.ChurnModel] = []
    for horizon in config.churn.horizons_days:
        found = churn.fit(dataset, states, horizon, config.churn, config.seed, threads, left_at_us)
        if isinstance(found, churn.LeftOut):
            _leave_out(f"churn over {horizon} days: {found.why}", watch, journal)
            watch.step()
            continue
        models.append(found)
        journal.metrics |= found.metrics
        auc, ece = found.metrics[f"{found.name}_auc"], found.metrics[f"{found.name}_ece"]
        watch.step(note=f"{horizon} d: AUC {auc:.3f}, ECE {ece:.3f}")
    return models


def _questions(
    data: Any, after_us: int, until_us: int, config: TrainingConfig, *, test: bool
) -> Questions:
    shape = config.encoder
    limit = shape.test_cases if test else shape.validation_cases
    return questions(data, shape.history_length, after_us, until_us, limit, config.seed)


def _moments(
    dataset: Dataset, after_us: int, until_us: int, config: TrainingConfig, *, test: bool
) -> list[Point]:
    shape = config.ranker
    return points(
        dataset.interactions,
        after_us,
        until_us,
        hours=shape.label_hours,
        per_customer=shape.points_per_customer,
        limit=shape.test_points if test else shape.train_points,
        seed=config.seed,
    )


def _retriever(
    model: Encoder, dataset: Dataset, until_us: int, config: TrainingConfig
) -> Retriever:
    return Retriever.of(
        lambda items, kinds: encoder.query_vectors(model, items, kinds),
        encoder.item_vectors(model),
        dataset,
        until_us,
        popular=baselines.popular_items(
            dataset.interactions, until_us, config.popular_days, config.popular_items
        ),
        history_length=config.encoder.history_length,
    )


def _quantile(values: list[int], share: float) -> int:
    return sorted(values)[int(share * (len(values) - 1))] if values else 0


def _leave_out(sentence: str, watch: Watch, journal: Journal) -> None:
    journal.left_out.append(sentence)
    watch.tell(say(f"Left out: {sentence}.", f"略过：{sentence}。"))


def _checkpoint(folder: Path, name: str) -> Path:
    """The file of this data and configuration; those of others are removed."""
    kept = folder / f"encoder-{name}.pt"
    for path in folder.glob("encoder-*.pt"):
        if path != kept:
            path.unlink(missing_ok=True)
    return kept
