"""A run's report for the browser: one page without scripts that needs no other file."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from math import isfinite

from nearline.clock import utc
from nearline.say import Words
from nearline.transforms.ranking import SOURCES
from training.config import TrainingConfig
from training.datasets import Dataset
from training.evaluation import plots
from training.journal import Journal
from training.ranker_trial import NEW_DAYS, SEGMENTS, THIN

_BEYOND = (  # figure -> heading
    ("recall_at_20", "recall@20"),
    ("ndcg_at_10", "NDCG@10"),
    ("coverage_at_10", "coverage 覆盖率"),
    ("diversity_at_10", "diversity 多样性"),
    ("novelty_at_10", "novelty, bits 新颖度"),
    ("gini_at_10", "Gini 集中度"),
    ("popular_share_at_10", "top tenth's share 热门占比"),
    ("cold_recall_at_20", "cold recall@20 冷门召回"),
)
_ORDERS = (
    ("ndcg_at_10", "NDCG@10"),
    ("hit_at_10", "hit rate@10 命中率"),
    ("precision_at_10", "precision@10 精确率"),
    *_BEYOND[2:-1],
)
_SCORES = (
    ("auc", "AUC"),
    ("recency_auc", "AUC, recency alone 仅最近活跃"),
    ("truth_auc", "AUC, truth 真实"),
    ("ap", "AP"),
    ("ece", "ECE"),
    ("recall_at_alert", "recall at alert rate 告警召回"),
    ("precision_at_alert", "precision there 精确率"),
    ("base_rate", "base rate 基准率"),
)
_CSS = """
body{font:15px/1.55 system-ui,"Noto Sans SC","PingFang SC","Microsoft YaHei",sans-serif;
color:#23292d;max-width:60rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem;margin-bottom:.2rem}h2{font-size:1.15rem;margin:2.2rem 0 .4rem;
border-top:1px solid #dfe4e7;padding-top:1rem}h3{font-size:1rem;margin:1.2rem 0 .2rem}
p{margin:.4rem 0;max-width:46rem}.small{color:#5d686e;font-size:.87rem}
table{border-collapse:collapse;margin:.6rem 0;font-size:.87rem}
.wide{overflow-x:auto}th,td{padding:.25rem .6rem;text-align:right;border-bottom:1px solid #e8ecee}
th{vertical-align:bottom;font-weight:600;max-width:8.5rem}
th:first-child,td:first-child{text-align:left;white-space:nowrap}
tr.ours td{font-weight:600;background:#eef5f8}
.row{display:flex;flex-wrap:wrap;gap:1rem;align-items:flex-start}svg{max-width:100%;height:auto}
"""


@dataclass(frozen=True, slots=True)
class Facts:
    """What stands at the head of a report, as label and value."""

    title: str
    lines: Sequence[tuple[str, str]] = field(default_factory=tuple)


def facts(dataset: Dataset, config: TrainingConfig, created_at_us: int, code: str) -> Facts:
    """Where a run's figures come from."""
    return Facts(
        f"Nearline: run of recipe {config.name}",
        (
            ("made 生成", f"{utc(created_at_us):%Y-%m-%d %H:%M} UTC"),
            ("code 代码", code),
            ("seed 随机种子", str(config.seed)),
            ("data 数据", f"{utc(dataset.from_us):%Y-%m-%d} – {utc(dataset.to_us):%Y-%m-%d}"),
            ("interactions 交互", f"{len(dataset.interactions):,}"),
            ("customers 顾客", f"{len(dataset.customer_ids):,}"),
            ("items 商品", f"{len(dataset.items):,}"),
        ),
    )


def render(head: Facts, journal: Journal) -> str:
    """The whole page; sections whose figures were not measured are left out.

    It names no customer: figures only. Charts are inline SVG, headings English and Chinese.
    """
    metrics = journal.metrics
    sections = [
        _retrieval(journal),
        _segments(journal.segments),
        _ranking(metrics, journal.ranking),
        _curve(journal.curve),
        *(_score(name, metrics, journal.curves) for name in _scores(metrics)),
        _index(journal.index),
        _left_out(journal.left_out),
    ]
    rows = "".join(
        f"<tr><td>{escape(label)}</td><td>{escape(value)}</td></tr>" for label, value in head.lines
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{escape(head.title)}</title><style>{_CSS}</style></head><body>"
        f"<h1>{escape(head.title)}</h1><table>{rows}</table>"
        f"{''.join(filter(None, sections))}</body></html>\n"
    )


def _retrieval(journal: Journal) -> str:
    found = journal.retrieval
    if not found:
        return ""
    names = sorted(found, key=lambda name: -found[name]["ndcg_at_10"])
    counted = journal.metrics.get("test_questions", 0)
    unknown = journal.metrics.get("test_questions_of_new_items", 0)
    return (
        "<h2>Finds the next new item 预测下一个新商品</h2>"
        f"<p>{counted:,.0f} questions after the last moment that was learnt from; all items that "
        f"the customer has not met compete. {unknown:,.0f} ask for an item that arrived later: "
        "a bundle does not know it, so they count as missed (popularity_7d is counted anew each "
        "day and may name it). 全量排序，无负采样。</p>"
        + plots.bars({name: found[name]["ndcg_at_10"] for name in names}, "encoder", "NDCG@10")
        + _table(
            ("model 模型", *(heading for _, heading in _BEYOND)),
            ((name, *(_shown(found[name].get(key)) for key, _ in _BEYOND)) for name in names),
            ours="encoder",
        )
        + '<p class="small">Of the ten items shown: coverage is the share of the catalogue shown '
        "to anybody; diversity the share of pairs that differ in category; novelty the "
        "information of an item's popularity; Gini 0 when all items are shown alike; the top "
        "tenth is of items by popularity; cold items were met at most five times. "
        "以上均按前 10 个商品计算。</p>"
    )


def _segments(segments: Mapping[str, Mapping[str, float]]) -> str:
    if not segments:
        return ""
    models = list(dict.fromkeys(key for row in segments.values() for key in row))
    models.remove("questions")
    return (
        "<h2>For whom 分群结果</h2>"
        "<p>NDCG@10 by kind of question, beside the best simple model. Groups of few questions "
        "say little. 问题数少的分群仅供参考。</p>"
        + _table(
            ("questions that 分群", "questions 数量", *models),
            (
                (name, f"{row['questions']:,.0f}", *(_shown(row.get(one)) for one in models))
                for name, row in segments.items()
            ),
        )
    )


def _ranking(metrics: Mapping[str, float], beyond: Mapping[str, Mapping[str, float]]) -> str:
    if "rank_ranker_ndcg_at_10" not in metrics:
        return ""
    names = [
        name for name in ("ranker", "retrieval", *SOURCES) if f"rank_{name}_ndcg_at_10" in metrics
    ]
    orders = {name: metrics[f"rank_{name}_ndcg_at_10"] for name in names}
    mean, low, high = (metrics[f"ranker_lead{end}"] for end in ("", "_low", "_high"))
    return (
        "<h2>Orders the candidates 候选排序</h2>"
        f"<p>{metrics.get('ranker_test_questions', 0):,.0f} moments. The ranker leads the best "
        f"single source by {mean:+.4f} (95 % paired bootstrap interval {low:+.4f} to "
        f"{high:+.4f}). 排序模型相对最佳单一来源的提升及 95 % 区间。</p>"
        + plots.bars(orders, "ranker", "NDCG@10")
        + plots.lead(mean, low, high, "lead over the best source, NDCG@10")
        + _table(
            ("order 排序", *(heading for _, heading in _ORDERS)),
            (
                (
                    name,
                    *(
                        _shown(metrics.get(f"rank_{name}_{key}", beyond.get(name, {}).get(key)))
                        for key, _ in _ORDERS
                    ),
                )
                for name in names
            ),
            ours="ranker",
        )
        + '<p class="small">Of the ten items shown: the hit rate is the share of lists in which '
        "something met stood, precision the share of places that held it; the others are as "
        "above. 命中率：列表中有后续行为的比例；精确率：位置中有后续行为的比例。</p>"
        + _ranking_segments(metrics)
    )


def _ranking_segments(metrics: Mapping[str, float]) -> str:
    def figure(name: str, key: str) -> float:
        return metrics[f"rank_segment_{name}_{key}"]

    def interval(name: str, key: str) -> str:
        return f"{figure(name, f'{key}_low'):+.4f} – {figure(name, f'{key}_high'):+.4f}"

    names = [name for name in SEGMENTS if f"rank_segment_{name}_lead" in metrics]
    if not names:
        return ""
    return (
        f"<p>By kind of customer: new ones came less than {NEW_DAYS} days before the moment; a "
        f"thin history has fewer than {THIN} recent interactions. Groups of few moments say "
        f"little. 按顾客分群：new 为到店不足 {NEW_DAYS} 天，thin 为近期行为少于 {THIN} 次；"
        "时刻数少的分群仅供参考。</p>"
        + _table(
            (
                "customers 顾客",
                "moments 时刻数",
                "NDCG@10",
                "95 % interval 区间",
                "lead over the best source 提升",
                "95 % interval 区间",
            ),
            (
                (
                    name,
                    f"{figure(name, 'questions'):,.0f}",
                    f"{figure(name, 'ndcg_at_10'):.4f}",
                    interval(name, "ndcg_at_10").replace("+", ""),
                    f"{figure(name, 'lead'):+.4f}",
                    interval(name, "lead"),
                )
                for name in names
            ),
        )
    )


def _curve(curve: Sequence[Mapping[str, float]]) -> str:
    if not curve:
        return ""
    epochs, losses, figures = (
        [row[key] for row in curve] for key in ("epoch", "loss", "ndcg_at_10")
    )
    return (
        "<h2>How the encoder learnt 编码器学习曲线</h2>"
        "<p>Loss, and NDCG@10 on the validation part, by which it stops. 训练损失与验证集指标。</p>"
        + plots.learning(epochs, losses, figures, "validation NDCG@10")
    )


def _scores(metrics: Mapping[str, float]) -> list[str]:
    return sorted(
        name.removesuffix("_auc")
        for name in metrics
        if name.endswith("_auc") and f"{name.removesuffix('_auc')}_ece" in metrics
    )


def _score(
    name: str, metrics: Mapping[str, float], curves: Mapping[str, Mapping[str, Sequence[float]]]
) -> str:
    figures = [
        (heading, _shown(metrics.get(f"{name}_{key}")))
        for key, heading in _SCORES
        if f"{name}_{key}" in metrics
    ]
    drawn = "".join(
        _score_plots(heading, curves[key])
        for key, heading in ((name, ""), (f"{name}_truth", "against the truth 对照真实"))
        if key in curves
    )
    return (
        f"<h2>Score {escape(name)} 评分</h2>"
        + _table([heading for heading, _ in figures], [[shown for _, shown in figures]])
        + drawn
    )


def _score_plots(heading: str, curve: Mapping[str, Sequence[float]]) -> str:
    drawn = ""
    if "chance" in curve:
        drawn += plots.calibration(curve["chance"], curve["seen"])
    if "alert_rate" in curve:
        drawn += plots.alerts(curve["alert_rate"], curve["recall"], curve["precision"])
    title = f"<h3>{escape(heading)}</h3>" if heading else ""
    return f'{title}<div class="row">{drawn}</div>' if drawn else ""


def _index(why: Words | None) -> str:
    if why is None:
        return ""
    return f"<h2>How items are searched 检索索引</h2><p>{escape(why.en)}<br>{escape(why.zh)}</p>"


def _left_out(found: Sequence[Words]) -> str:
    if not found:
        return ""
    lines = "".join(f"<li>{escape(what.en)}<br>{escape(what.zh)}</li>" for what in found)
    return f"<h2>Left out 未训练</h2><ul>{lines}</ul>"


def _shown(value: float | None) -> str:
    return "–" if value is None or not isfinite(value) else f"{value:.4f}"


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]], ours: str = "") -> str:
    # The Chinese half of a heading stands below the English.
    head = "".join(
        f"<th>{re.sub(r' (?=[一-鿿])', '<br>', escape(heading), count=1)}</th>"
        for heading in headings
    )
    body = "".join(
        ('<tr class="ours">' if row[0] == ours else "<tr>")
        + "".join(f"<td>{escape(cell)}</td>" for cell in row)
        + "</tr>"
        for row in rows
    )
    return f'<div class="wide"><table><tr>{head}</tr>{body}</table></div>'
