"""The calibrated scores of a run: who will fall silent, and what else is foreseen."""

from __future__ import annotations

from collections.abc import Mapping

from nearline.say import say
from training import churn
from training.config import TrainingConfig
from training.datasets import Dataset
from training.journal import Journal, Watch
from training.states import States


def learn(
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
            journal.leave_out(f"churn over {horizon} days: {found.why}", watch)
            watch.step()
            continue
        models.append(found)
        journal.metrics |= found.metrics
        auc, ece = found.metrics[f"{found.name}_auc"], found.metrics[f"{found.name}_ece"]
        watch.step(note=f"{horizon} d: AUC {auc:.3f}, ECE {ece:.3f}")
    return models
