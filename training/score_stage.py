"""The scores of a run: who will fall silent, who buys again and in which category, what for."""

from __future__ import annotations

from collections.abc import Mapping

from nearline.say import Words, say
from nearline.transforms.lifetime import LifetimeModel, Unfitted
from training.config import ChurnConfig, TrainingConfig
from training.datasets import Dataset
from training.journal import Journal, Watch
from training.lifetime import model as lifetime
from training.scores import fit
from training.scores.questions import (
    CategoryDemand,
    Churn,
    Question,
    Repurchase,
    category_shares,
)
from training.scores.scores import Scores
from training.states import States


def questions(config: ChurnConfig) -> list[Question]:
    """What is asked of the future, churn first, shortest horizon first."""
    asked: list[Question] = [
        Churn(days, config.active_days) for days in sorted(config.horizons_days)
    ]
    if config.repurchase_days:
        asked.append(Repurchase(config.repurchase_days, config.active_days))
    if config.demand_days:
        asked.append(CategoryDemand(config.demand_days, config.active_days))
    return asked


def learn(
    dataset: Dataset,
    states: States,
    config: TrainingConfig,
    threads: int,
    left_at_us: Mapping[str, int] | None,
    watch: Watch,
    journal: Journal,
) -> Scores:
    """Every score that the history can teach; what it cannot is told and left out."""
    asked = questions(config.churn)
    watch.stage(say("scores", "预测分数"), len(asked) + 1)
    models: list[fit.ScoreModel] = []
    for question in asked:
        found = fit.fit(
            question, dataset, states, config.churn, config.seed, threads, left_at_us
        )  # fmt: skip
        if isinstance(found, fit.LeftOut):
            why = Words(f"{found.name}: {found.why.en}", f"{found.name}：{found.why.zh}")
            journal.leave_out(why, watch)
            watch.step()
            continue
        models.append(found)
        journal.metrics |= found.metrics
        journal.curves |= found.curves
        auc, ece = found.metrics[f"{found.name}_auc"], found.metrics[f"{found.name}_ece"]
        watch.step(note=f"{found.name}: AUC {auc:.3f}, ECE {ece:.3f}")
    worth = _lifetime(dataset, states, config, watch, journal)
    watch.step()
    return Scores(models, worth, category_shares(dataset, dataset.known_to_us))


def _lifetime(
    dataset: Dataset, states: States, config: TrainingConfig, watch: Watch, journal: Journal
) -> LifetimeModel | None:
    try:
        found, figures = lifetime.learn(dataset, states, config.lifetime)
    except Unfitted as reason:
        why = Words(f"lifetime value: {reason.why.en}", f"终身价值：{reason.why.zh}")
        journal.leave_out(why, watch)
        return None
    journal.metrics |= figures
    return found
