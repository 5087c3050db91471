"""The model card: what a bundle is and how good it was, for people.

Tables are made of the figures that there are, by the way their names end, so that a new score,
source or segment stands in the card without being named here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from string import Template

from nearline.clock import utc
from nearline.contracts.bundle import Manifest
from training.bundle import code_version
from training.config import TrainingConfig
from training.datasets import Dataset
from training.journal import Journal
from training.shipped import shipped

TEMPLATE = shipped("cards/bundle.md")
BROUGHT_TEMPLATE = shipped("cards/brought.md")
_SEGMENT = "segment_"
_ALSO = {"_hit_at_10": "hit rate@10", "_precision_at_10": "precision@10"}
_OF_SCORE = {  # end of a figure's name -> heading
    "auc": "AUC",
    "recency_auc": "recency alone",
    "ap": "average precision",
    "ece": "ECE",
    "recall_at_alert": "recall at alert",
    "precision_at_alert": "precision at alert",
    "base_rate": "base rate",
}


def render(
    template: str, dataset: Dataset, config: TrainingConfig, journal: Journal, created_at_us: int
) -> str:
    """The card of a trained bundle as Markdown; figures that were not measured are left out."""
    metrics = journal.metrics
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
        alert_rate=f"{config.churn.alert_rate:.0%}",
        index=journal.index.en if journal.index else "-",
        left_out="".join(f"- Left out: {what.en}.\n" for what in journal.left_out),
        test_share=f"{config.split.test_share:.0%}",
        figures=figures(metrics),
    )


def of_brought(manifest: Manifest, template: Path = BROUGHT_TEMPLATE) -> str:
    """The card of a bundle with a part from outside, out of its manifest alone."""
    ranker, lineage = manifest.ranker, manifest.lineage
    return Template(template.read_text(encoding="utf-8")).substitute(
        created_at=manifest.created_at,
        brought_by=lineage.brought_by,
        parent=lineage.parent,
        recipe=lineage.recipe or "?",
        data_from=manifest.data_from,
        data_to=manifest.data_to,
        code_version=manifest.code_version,
        ranker=f"{ranker.format.value}, {len(ranker.features)} features" if ranker else "none",
        lead=_lead(manifest.metrics),
        figures=figures(manifest.metrics),
    )


def figures(metrics: Mapping[str, float]) -> str:
    """Every figure in a table of its kind, as Markdown; an empty text without any."""
    used: set[str] = set()
    tables = [
        _retrieval(metrics, used),
        _ranking(metrics, used),
        _segments(metrics, used),
        _scores(metrics, used),
    ]
    rest = [(name, f"{value:.4g}") for name, value in sorted(metrics.items()) if name not in used]
    return "\n".join([*filter(None, tables), _table(("other figures", "value"), rest)]).strip()


def _retrieval(metrics: Mapping[str, float], used: set[str]) -> str:
    names = _before(metrics, "_recall_at_20", "_ndcg_at_10")
    rows = [
        (name, metrics[f"{name}_recall_at_20"], metrics[f"{name}_ndcg_at_10"]) for name in names
    ]
    used.update(f"{name}_{end}" for name in names for end in ("recall_at_20", "ndcg_at_10"))
    rows.sort(key=lambda row: -row[2])
    return _table(
        ("finds the next new item", "recall@20", "NDCG@10"),
        [(name, f"{recall:.4f}", f"{ndcg:.4f}") for name, recall, ndcg in rows],
    )


def _ranking(metrics: Mapping[str, float], used: set[str]) -> str:
    ends = "_ndcg_at_10"
    found = {
        name.removeprefix("rank_").removesuffix(ends): value
        for name, value in metrics.items()
        if name.startswith("rank_") and name.endswith(ends)
    }
    orders = {name: value for name, value in found.items() if not name.startswith(_SEGMENT)}
    used.update(f"rank_{name}{end}" for name in orders for end in (ends, *_ALSO))
    moments = metrics.get("ranker_test_questions")
    counted = f"; {moments:.0f} moments" if moments else ""
    return _table(
        (
            f"orders the candidates (gains view 1, cart 2, purchase 3{counted})",
            "NDCG@10",
            *_ALSO.values(),
        ),
        [
            (name, f"{value:.4f}", *(_cell(metrics.get(f"rank_{name}{end}")) for end in _ALSO))
            for name, value in sorted(orders.items(), key=lambda pair: -pair[1])
        ],
    )


def _cell(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _segments(metrics: Mapping[str, float], used: set[str]) -> str:
    starts, ends = f"rank_{_SEGMENT}", "_ndcg_at_10"
    names = [name for name in metrics if name.startswith(starts) and name.endswith(ends)]
    used.update(names)
    return _table(
        ("customers", "NDCG@10 of the ranker"),
        [
            (name.removeprefix(starts).removesuffix(ends), f"{metrics[name]:.4f}")
            for name in sorted(names)
        ],
    )


def _scores(metrics: Mapping[str, float], used: set[str]) -> str:
    names = _before(metrics, "_auc", "_ece")
    rows = []
    for name in names:
        cells = [metrics.get(f"{name}_{end}") for end in _OF_SCORE]
        judged = metrics.get(f"{name}_temporal")
        how = "-" if judged is None else "later snapshot" if judged else "other customers"
        rows.append((name, *("-" if cell is None else f"{cell:.3f}" for cell in cells), how))
        used.update(f"{name}_{end}" for end in (*_OF_SCORE, "temporal"))
    return _table(("score", *_OF_SCORE.values(), "judged on"), rows)


def _before(metrics: Mapping[str, float], *ends: str) -> list[str]:
    """What stands before these ends, where all of them are there; in alphabetical order."""
    first = (name.removesuffix(ends[0]) for name in metrics if name.endswith(ends[0]))
    return sorted(name for name in first if all(f"{name}{end}" in metrics for end in ends))


def _lead(metrics: Mapping[str, float]) -> str:
    if "brought_lead" not in metrics:
        return "It was not compared."
    mean, low, high = (metrics[f"brought_lead{end}"] for end in ("", "_low", "_high"))
    return (
        f"Mean NDCG@10 less that of the part it replaces, on the same questions: {mean:+.4f} "
        f"(95 % paired bootstrap interval {low:+.4f} to {high:+.4f})."
    )


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    if not lines:
        return ""
    rule = f"|{'---|' * len(headings)}"
    return "\n".join([f"| {' | '.join(headings)} |", rule, *lines, ""])
