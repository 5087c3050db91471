"""The model card: what a bundle is and how good it was, for people."""

from __future__ import annotations

from pathlib import Path
from string import Template

from nearline.clock import utc
from nearline.transforms.ranking import SOURCES
from training.bundle import code_version
from training.config import TrainingConfig
from training.datasets import Dataset
from training.journal import Journal

TEMPLATE = Path(__file__).parents[1] / "mlflow" / "cards" / "bundle.md"


def render(
    template: str, dataset: Dataset, config: TrainingConfig, journal: Journal, created_at_us: int
) -> str:
    """The card as Markdown; figures that were not measured are left out."""
    metrics = journal.metrics
    retrieval = "".join(
        f"| {name} | {metrics[f'{name}_recall_at_20']:.4f} "
        f"| {metrics[f'{name}_ndcg_at_10']:.4f} |\n"
        for name in ("encoder", "rules", "popularity", "popularity_7d")
        if f"{name}_ndcg_at_10" in metrics
    )
    ranking = "".join(
        f"| {name} | {metrics[f'rank_{name}_ndcg_at_10']:.4f} |\n"
        for name in ("ranker", "retrieval", *SOURCES)
        if f"rank_{name}_ndcg_at_10" in metrics
    )
    churn = "".join(
        _churn_row(f"churn_{days}d", days, journal)
        for days in config.churn.horizons_days
        if f"churn_{days}d_auc" in metrics
    )
    return Template(template).substitute(
        created_at=f"{utc(created_at_us):%Y-%m-%d %H:%M} UTC",
        recipe=config.name,
        code_version=code_version(),
        interactions=f"{len(dataset.interactions):,}",
        customers=f"{len(dataset.customer_ids):,}",
        items=f"{len(dataset.items):,}",
        data_from=f"{utc(dataset.from_us):%Y-%m-%d}",
        data_to=f"{utc(dataset.to_us):%Y-%m-%d}",
        active_days=config.churn.active_days,
        left_out="".join(f"- Left out: {sentence}.\n" for sentence in journal.left_out),
        test_share=f"{config.split.test_share:.0%}",
        retrieval=retrieval,
        ranking=ranking,
        ranker_questions=f"{metrics.get('ranker_test_questions', 0):.0f}",
        alert_rate=f"{config.churn.alert_rate:.0%}",
        churn=churn,
    )


def _churn_row(name: str, days: int, journal: Journal) -> str:
    held = {
        key.removeprefix(f"{name}_"): value
        for key, value in journal.metrics.items()
        if key.startswith(f"{name}_")
    }
    judged = "later snapshot" if held["temporal"] else "other customers, same days"
    return (
        f"| {days} days | {held['auc']:.3f} | {held['recency_auc']:.3f} | {held['ap']:.3f} | "
        f"{held['ece']:.3f} | {held['recall_at_alert']:.2f} / {held['precision_at_alert']:.2f} | "
        f"{held['base_rate']:.2f} | {judged} |\n"
    )
