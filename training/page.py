"""A registered bundle's figures as a Markdown page, such as docs/benchmarks/models-shop.md."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from nearline.bench.machine import Machine
from nearline.clock import utc
from nearline.transforms.ranking import SOURCES
from training.report import FINDERS
from training.tracking import Version

_CHURN = (
    ("auc", "AUC"),
    ("recency_auc", "AUC of recency alone"),
    ("truth_auc", "AUC against the shop's truth"),
    ("ap", "AP"),
    ("ece", "ECE"),
    ("recall_at_alert", "recall at the alert rate"),
    ("precision_at_alert", "precision there"),
    ("base_rate", "left"),
)


def to_markdown(version: Version, machine: Machine, command: str) -> str:
    """The page: what was trained on what, then the three tables. Figures are the registry's."""
    metrics, parameters = version.metrics, version.parameters
    lines = [
        f"# Models: recipe `{parameters.get('name', '?')}`",
        "",
        f"Registered {utc(version.created_at_ms * 1_000):%Y-%m-%d %H:%M} UTC as version "
        f"{version.number}, code {version.tags.get('code_version', '?')}, seed "
        f"{parameters.get('seed', '?')}. Data from {parameters.get('data_from', '?')} to "
        f"{parameters.get('data_to', '?')}, {parameters.get('items', '?')} items.",
        f"Page written on {machine.cores} cores ({machine.cpu}), Python {machine.python}, by "
        f"`{command}`.",
        "",
        "Temporal split: the encoder learns from the oldest part, the ranker from the next, all is "
        "judged on the newest. Full ranking over all items.",
        "",
        "## Finds the next new item",
        "",
        *_table(
            ("model", "recall@20", "NDCG@10"),
            (
                (
                    name,
                    *(_figure(metrics, f"{name}_{key}") for key in ("recall_at_20", "ndcg_at_10")),
                )
                for name in FINDERS
                if name == "encoder" or f"{name}_ndcg_at_10" in metrics
            ),
        ),
        "",
        f"On {metrics.get('test_questions', 0):.0f} questions. "
        f"{metrics.get('test_questions_of_new_items', 0):.0f} of them ask for an item that arrived "
        "after what was learnt: a bundle does not know it, so they count as missed (popularity_7d "
        "is counted anew each day and may name it).",
        "",
        "## Orders the candidates",
        "",
        *_table(
            ("order", "NDCG@10"),
            (
                (name, _figure(metrics, f"rank_{name}_ndcg_at_10"))
                for name in ("ranker", "retrieval", *SOURCES)
            ),
        ),
        "",
        f"The ranker leads the best single source by {_figure(metrics, 'ranker_lead')} (95 % "
        f"paired bootstrap interval {_figure(metrics, 'ranker_lead_low')} to "
        f"{_figure(metrics, 'ranker_lead_high')}), on "
        f"{metrics.get('ranker_test_questions', 0):.0f} moments.",
        "",
        "## Says who will leave",
        "",
        *_table(
            ("horizon", *(heading for _, heading in _CHURN)),
            (
                (f"{days} days", *(_figure(metrics, f"churn_{days}d_{key}") for key, _ in _CHURN))
                for days in horizons_days(metrics)
            ),
        ),
        "",
        f"Among customers seen in the last {parameters.get('churn.active_days', '?')} days; the "
        f"alert rate is {parameters.get('churn.alert_rate', '?')}.",
        "",
    ]
    return "\n".join(lines)


def horizons_days(metrics: Mapping[str, float]) -> list[int]:
    """The horizons for which a bundle has a churn model, shortest first."""
    names = (name.removeprefix("churn_").removesuffix("d_auc") for name in metrics)
    return sorted(int(name) for name in names if name.isdigit())


def _figure(metrics: Mapping[str, float], name: str) -> str:
    return f"{metrics[name]:.4f}" if name in metrics else "-"


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    rule = ["---", *("---:" for _ in headings[1:])]
    return [f"| {' | '.join(row)} |" for row in (headings, rule, *rows)]
