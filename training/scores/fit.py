"""One score learnt and judged: trees, the curve that calibrates them, and their figures.

A score is judged on the newest snapshot whose horizon has ended, having learnt only from
snapshots whose horizon ended before it. What is served is then learnt by the same procedure
from the newest snapshots, so that the figures are those of the procedure one horizon ago.

Where the history is shorter than two horizons there is no such snapshot: then customers are
parted instead. Each part is judged by what was learnt from the others, so that all are judged
and none by what was learnt from itself. The figures say which it was (`temporal`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from nearline.contracts.bundle import Task
from nearline.say import Words
from nearline.transforms.buckets import DAY_US
from training.config import ChurnConfig
from training.datasets import Dataset
from training.leaks import check_apart
from training.metrics import at_alert_rate
from training.scores import figures, learner
from training.scores.questions import Question
from training.scores.rows import WARM_UP_DAYS, Rows, instants, joined
from training.states import States

# Axes: R rows.
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ScoreModel:
    """One question answered: trees, the curve that makes their output a probability, figures.

    `metrics` and `curves` are named as a journal keeps them: `churn_14d_auc`, `churn_14d`.
    """

    name: str
    task: Task
    horizon_days: int
    active_days: int
    features: tuple[str, ...]
    booster: Any
    curve: dict[str, list[float]]
    metrics: dict[str, float]
    curves: dict[str, dict[str, list[float]]]

    def probability(self, rows: Rows) -> Floats:
        """(R,) calibrated, in (0, 1)."""
        return learner.calibrated(self.curve, learner.raw(self.booster, rows))


@dataclass(frozen=True)
class LeftOut:
    """A score that cannot be learnt yet, and why; without a full stop."""

    name: str
    why: Words


@dataclass(frozen=True)
class _Judged:
    rows: Rows
    chances_R: Floats
    temporal: bool


def fit(
    question: Question,
    dataset: Dataset,
    states: States,
    config: ChurnConfig,
    seed: int,
    threads: int,
    left_at_us: Mapping[str, int] | None = None,
) -> ScoreModel | LeftOut:
    """Learn one score, or say why not.

    `left_at_us` is the simulated truth, customer id -> instant of leaving for good; it judges
    churn, and teaches nothing.
    """
    horizon = question.horizon_days
    snapshots = instants(dataset, dataset.to_us, horizon, config)
    if not snapshots:
        least, covers = horizon + WARM_UP_DAYS, (dataset.to_us - dataset.from_us) / DAY_US
        why = Words(
            f"the history must cover more than {least} days and covers {covers:.0f}",
            f"历史须超过 {least} 天，目前为 {covers:.0f} 天",
        )
        return LeftOut(question.name, why)
    matured = instants(dataset, snapshots[-1], horizon, config)
    held = {
        at_us: question.rows_at(at_us, dataset, states)
        for at_us in sorted({*snapshots, *matured})
    }  # fmt: skip

    def taken(at: list[int]) -> Rows:
        return joined([held[at_us] for at_us in at], len(question.features))

    parts = _parts(taken(snapshots), taken(matured), snapshots[-1], config, seed)
    if not all(len(train) and len(test) for train, test in parts):
        why = Words(
            "at some snapshot there is nobody to ask about: no active customer has done what the "
            "question starts from",
            "某个快照上没有可预测的顾客：没有活跃顾客有过该问题所需的行为",
        )
        return LeftOut(question.name, why)
    fewest = min(min(train.fewest, test.fewest) for train, test in parts)
    if fewest < config.min_class_rows:
        why = Words(
            f"a part of it has only {fewest} rows of one outcome, and {config.min_class_rows} "
            "are needed",
            f"某部分数据中一种结果只有 {fewest} 行，至少需要 {config.min_class_rows} 行",
        )
        return LeftOut(question.name, why)
    chances = []
    for train, test in parts:
        check_apart(
            (train.customer_R, train.at_us_R),
            (test.customer_R, test.at_us_R),
            horizon * DAY_US,
            question.name,
        )
        booster, curve = learner.learn(train, question.features, config, seed, threads)
        chances.append(learner.calibrated(curve, learner.raw(booster, test)))
    judged = _Judged(
        joined([test for _, test in parts], len(question.features)),
        np.concatenate(chances),
        temporal=bool(matured),
    )
    booster, curve = learner.learn(taken(snapshots), question.features, config, seed, threads)
    metrics, curves = _report(question, judged, config)
    if left_at_us is not None and question.task is Task.CHURN:
        gone_R = _gone(judged.rows, dataset, left_at_us, horizon)
        metrics |= _truth_figures(gone_R, judged.chances_R, config)
        curves["_truth"] = figures.alert_curve(gone_R, judged.chances_R)
    return ScoreModel(
        question.name,
        question.task,
        horizon,
        question.active_days,
        question.features,
        booster,
        curve,
        {f"{question.name}_{key}": value for key, value in metrics.items()},
        {f"{question.name}{key}": value for key, value in curves.items()},
    )


def _parts(
    newest: Rows, matured: Rows, judged_at_us: int, config: ChurnConfig, seed: int
) -> list[tuple[Rows, Rows]]:
    """What is learnt from, and what is judged by it: one pair by time, else one a fold."""
    if len(matured):
        return [(matured, newest.at([judged_at_us]))]
    fold_R = learner.folds(newest, config.folds, seed + 1)  # Not the folds that calibrate.
    last_R = newest.at_us_R == judged_at_us
    return [
        (newest.pick(fold_R != fold), newest.pick((fold_R == fold) & last_R))
        for fold in range(config.folds)
    ]


def _report(
    question: Question, judged: _Judged, config: ChurnConfig
) -> tuple[dict[str, float], dict[str, dict[str, list[float]]]]:
    from sklearn.metrics import roc_auc_score

    labels_R, chances_R = judged.rows.labels_R, judged.chances_R
    metrics = figures.figures(labels_R, chances_R, config.alert_rate)
    metrics["temporal"] = float(judged.temporal)
    simply_R = question.simply(judged.rows)
    metrics[f"{question.simple}_auc"] = float(roc_auc_score(labels_R, simply_R))
    whole = figures.calibration_curve(labels_R, chances_R)
    return metrics, {"": whole | figures.alert_curve(labels_R, chances_R)}


def _gone(rows: Rows, dataset: Dataset, left_at_us: Mapping[str, int], horizon_days: int) -> Floats:
    """(R,): 1 for who has really left for good by the end of the horizon."""
    never = np.iinfo(np.int64).max
    left_R = np.array(
        [left_at_us.get(dataset.customer_ids[row], never) for row in rows.customer_R], np.int64
    )
    return (left_R <= rows.at_us_R + horizon_days * DAY_US).astype(np.float64)


def _truth_figures(gone_R: Floats, chances_R: Floats, config: ChurnConfig) -> dict[str, float]:
    """Against who had really left, or leaves within the horizon; none when all or nobody does.

    `alert_rate_for_80` is the share of the cohort that must be warned about to reach
    `wanted_recall` of them, with `precision_at_80`; the number in the names is the recall asked.
    """
    from sklearn.metrics import roc_auc_score

    if gone_R.all() or not gone_R.any():
        return {}
    recall, precision = at_alert_rate(gone_R, chances_R, config.alert_rate)
    rate, then = figures.alert_rate_for(gone_R, chances_R, config.wanted_recall)
    asked = round(100 * config.wanted_recall)
    return {
        "truth_auc": float(roc_auc_score(gone_R, chances_R)),
        "truth_rate": float(gone_R.mean()),
        "truth_recall": recall,
        "truth_precision": precision,
        f"alert_rate_for_{asked}": rate,
        f"precision_at_{asked}": then,
    }
