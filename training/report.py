"""A run's figures as tables on the terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from nearline.say import say
from nearline.transforms.ranking import SOURCES

FINDERS = (
    "encoder",
    "rules",
    "item_knn",
    "ease",
    "ials",
    "association",
    "popularity",
    "popularity_7d",
)
_CHURN = {  # figure -> heading
    "auc": "AUC",
    "recency_auc": "recency",
    "truth_auc": "truth",
    "ap": "AP",
    "ece": "ECE",
    "recall_at_alert": "recall",
    "precision_at_alert": "prec.",
    "base_rate": "base",
}


def show(
    metrics: Mapping[str, float],
    seconds: Mapping[str, float],
    horizons_days: Sequence[int],
    console: Console,
) -> None:
    """Print what was measured, and the seconds that each stage took."""
    console.print(_retrieval(metrics))
    if "rank_ranker_ndcg_at_10" in metrics:
        console.print(_ranking(metrics))
        lead, low, high = (metrics[f"ranker_lead{end}"] for end in ("", "_low", "_high"))
        console.print(
            say(
                f"ranker over the best source: {lead:+.4f} (95 % {low:+.4f} to {high:+.4f})",
                f"排序相对最佳单一来源：{lead:+.4f}（95 % {low:+.4f} 至 {high:+.4f}）",
            )
        )
    learnt = [days for days in horizons_days if f"churn_{days}d_auc" in metrics]
    if learnt:
        console.print(_churn(metrics, learnt))
    total = sum(seconds.values())
    stages = ", ".join(f"{name} {taken:.0f}" for name, taken in seconds.items())
    console.print(say(f"{total:.0f} s: {stages}", f"{total:.0f} 秒：{stages}"), soft_wrap=True)


def _retrieval(metrics: Mapping[str, float]) -> Table:
    table = Table(title=say("On the test part, full ranking", "测试集（全量排序）"))
    for heading in (say("finds the next new item", "预测下一个新商品"), "recall@20", "NDCG@10"):
        table.add_column(heading)
    for name in FINDERS:
        if f"{name}_ndcg_at_10" in metrics:
            recall, ndcg = metrics[f"{name}_recall_at_20"], metrics[f"{name}_ndcg_at_10"]
            table.add_row(name, f"{recall:.4f}", f"{ndcg:.4f}")
    return table


def _ranking(metrics: Mapping[str, float]) -> Table:
    table = Table()
    table.add_column(say("orders the candidates", "候选排序"))
    table.add_column("NDCG@10")
    table.add_column(say("hit rate@10", "命中率@10"))
    for name in ("ranker", "retrieval", *SOURCES):
        ndcg, hit = metrics[f"rank_{name}_ndcg_at_10"], metrics[f"rank_{name}_hit_at_10"]
        table.add_row(name, f"{ndcg:.4f}", f"{hit:.4f}")
    return table


def _churn(metrics: Mapping[str, float], horizons_days: Sequence[int]) -> Table:
    table = Table()
    table.add_column(say("churn", "流失"))
    for heading in _CHURN.values():
        table.add_column(heading)
    for days in horizons_days:
        values = [metrics.get(f"churn_{days}d_{key}") for key in _CHURN]
        shown = ("-" if value is None else f"{value:.3f}" for value in values)
        table.add_row(say(f"{days} days", f"{days} 天"), *shown)
    return table
