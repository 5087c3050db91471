"""The simple models on public sequences: the rows that every neural row stands beside."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

import numpy as np

from training import baselines
from training.baselines import Scorer, Weight
from training.datasets import Interactions
from training.reproduce.comparison import Check, Gate, Origin, Row, Watch
from training.reproduce.leave_one_out import LeaveOneOut
from training.reproduce.neural import figures
from training.sequences import Questions

Makers = Mapping[str, Callable[[], Scorer]]  # each learns when it is called


def models(data: Interactions, items: int, strength: float) -> Makers:
    """The usual simple models by name; `strength` is EASE's lambda."""
    # Learnt once, as rules and neighbours stand both alone and together.
    rules = _once(lambda: baselines.sequential_rules(data, items, weight=Weight.COSINE))
    neighbours = _once(lambda: baselines.item_knn(data, items))
    return {
        "popularity": lambda: baselines.popularity(data, items),
        "ItemKNN": neighbours,
        "EASE": lambda: baselines.ease(data, items, strength),
        "iALS": lambda: baselines.ials(data, items),
        "rules": rules,
        "rules + 0.5 ItemKNN": lambda: baselines.added(rules(), neighbours(), 0.5),
        "rules, counts": lambda: baselines.sequential_rules(data, items),
        "rules, shares": lambda: baselines.sequential_rules(data, items, weight=Weight.SHARE),
    }


def notes(strength: float) -> dict[str, str]:
    """What stands beside each of `models`."""
    return {
        "popularity": "interactions of the item",
        "ItemKNN": "cosine, shrink 10, recency decay 0.8",
        "EASE": f"lambda {strength:g}, recency decay 0.8",
        "iALS": "64 dimensions, 15 rounds, recency decay 0.8, library implicit",
        "rules": "gap ≤ 5, weight 1/gap, over the root of both items' meetings, decay 0.6",
        "rules + 0.5 ItemKNN": "scores added",
        "rules, counts": "gap ≤ 5, weight 1/gap, decay 0.6",
        "rules, shares": "the same, over the meetings of the earlier item",
    }


def rows(
    title: str, questions: Questions, makers: Makers, beside: Mapping[str, str], watch: Watch
) -> tuple[list[Row], dict[str, float]]:
    """Learn and judge each model by the questions; also the seconds that each took in all."""
    watch.stage(title, len(makers))
    found: list[Row] = []
    seconds: dict[str, float] = {}
    for name, make in makers.items():
        started = time.monotonic()
        measured = figures(baselines.ranks(questions, make()))
        seconds[name] = time.monotonic() - started
        found.append(Row(name, Origin.SIMPLE, measured, beside.get(name, "")))
        watch.step(note=f"{name} NDCG@10 {measured['ndcg_at_10']:.4f}")
    return found, seconds


def above_the_best(model: str, simple: list[Row], metric: str) -> Gate:
    """The bar that every neural model must clear: the best simple one of the same run."""
    return Gate(model, metric, round(max(row.figures[metric] for row in simple), 4))


def without_last(data: Interactions) -> Interactions:
    """The interactions but each customer's last."""
    kept = np.ones(len(data), bool)
    kept[[end - 1 for _, _, end in data.ranges()]] = False
    return data.pick(kept)


def statistics(log: LeaveOneOut, **published: int) -> dict[str, int | float]:
    """Sizes of a leave-one-out data set; raises ValueError when they are not the published."""
    counted = {
        "customers": len(np.unique(log.learn.customer)),
        "items": log.items,
        "interactions": len(log.learn) + len(log.test(1)),
        "questions": len(log.test(1)),
    }
    return asserted(log.name, counted, published)


def asserted(
    name: str, counted: Mapping[str, int], published: Mapping[str, int]
) -> dict[str, int | float]:
    """What was counted; raises ValueError when it differs from what is published."""
    wrong = {key: (counted[key], size) for key, size in published.items() if counted[key] != size}
    if wrong:
        raise ValueError(
            f"{name} is not the published data set: (found, published) {wrong}. Take the files "
            "from their source again"
        )
    return dict(counted)


def checks(expected: Mapping[str, tuple[float, float]], within: float = 0.05) -> list[Check]:
    """Recall@10 and NDCG@10 that are known beforehand, by model."""
    return [
        Check(model, metric, value, within)
        for model, pair in expected.items()
        for metric, value in zip(("recall_at_10", "ndcg_at_10"), pair, strict=True)
    ]


def _once(make: Callable[[], Scorer]) -> Callable[[], Scorer]:
    kept: list[Scorer] = []

    def scorer() -> Scorer:
        if not kept:
            kept.append(make())
        return kept[0]

    return scorer
