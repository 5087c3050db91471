"""Registered bundles on the terminal: a check's verdicts, one bundle, two side by side."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from nearline.clock import utc
from nearline.contracts.bundle import Manifest
from nearline.say import say
from training import compare
from training.compare import Side
from training.gate import Examined
from training.promotion import Outcome
from training.tracking import Version, lineage_of

_MAIN = ("encoder_ndcg_at_10", "rank_ranker_ndcg_at_10", "churn_14d_auc")


def listed(versions: Sequence[Version], console: Console) -> None:
    """Every bundle with its aliases and main figures, as narrow as a terminal of 80 places."""
    caption = say(
        "NDCG@10, and AUC of churn within 14 days, each on its own test",
        "各自测试集上的 NDCG@10 与 14 天流失 AUC",
    )
    table = _table(
        say("no.", "版本"),
        say("alias", "别名"),
        say("made (UTC)", "注册 (UTC)"),
        "encoder",
        "ranker",
        "churn",
        say("gate", "门槛"),
        say("from", "来源"),
    )
    table.caption = caption
    for one in versions:
        table.add_row(
            one.number,
            ", ".join(one.aliases),
            f"{utc(one.created_at_ms * 1_000):%m-%d %H:%M}",
            *(_number(one.metrics.get(name)) for name in _MAIN),
            one.tags.get("gate", "-"),
            one.tags.get("brought_by") or one.tags.get("recipe", "-"),
        )
    console.print(table)


def verdicts(examined: Examined, console: Console) -> None:
    """Rule by rule: value, bound, champion's, verdict; then what follows."""
    table = _table(
        say("figure", "指标"),
        say("value", "数值"),
        say("bound", "门槛"),
        say("champion", "线上"),
        say("verdict", "结论"),
    )
    words = {
        Outcome.HOLDS: say("holds", "通过"),
        Outcome.BROKEN: say("BROKEN", "未通过"),
        Outcome.NOT_ASKED: say("not asked", "不适用"),
    }
    for one in examined.verdicts:
        table.add_row(
            one.figure,
            _number(one.value),
            one.bound,
            _number(one.champion),
            words[one.outcome],
            style="bold red" if one.outcome is Outcome.BROKEN else None,
        )
    console.print(table)
    number = examined.version
    for reason in examined.reasons:
        console.print(f"- {reason}", soft_wrap=True)
    console.print(
        say(f"Version {number} stays as it is.", f"版本 {number} 不可上线。")
        if examined.reasons
        else say(
            f"Version {number} may become champion: nearline models promote {number}",
            f"版本 {number} 可以上线：nearline models promote {number}",
        ),
        soft_wrap=True,
    )


def one(version: Version, manifest: Manifest, console: Console) -> None:
    """Where a bundle comes from, what is in it, and its figures."""
    table = _table(say("version", "版本"), version.number)
    ranker = manifest.ranker
    rows = {
        say("alias", "别名"): ", ".join(version.aliases) or "-",
        say("registered (UTC)", "注册时间 (UTC)"): (
            f"{utc(version.created_at_ms * 1_000):%Y-%m-%d %H:%M}"
        ),
        **lineage_of(manifest),
        "items": f"{manifest.items:,}",
        "encoder": f"{manifest.encoder.dimension} dimensions, "
        f"{manifest.encoder.history_length} items back",
        "index": f"{manifest.index.kind}, recall@100 {manifest.index.recall_at_100:.3f}",
        "ranker": f"{ranker.format.value}, {len(ranker.features)} features" if ranker else "none",
        "scores": ", ".join(score.name for score in manifest.scores) or "none",
        "gate": version.tags.get("gate", say("not checked", "未检查")),
    }
    if refused := version.tags.get("promotion_refused"):
        rows[say("refused because", "拒绝原因")] = refused
    for name, value in rows.items():
        table.add_row(name, value)
    console.print(table)
    measured = _table(say("figure", "指标"), say("value", "数值"))
    for figure in compare.figures(version.metrics, {}):
        measured.add_row(figure.name, _number(figure.a))
    console.print(measured)


def two(a: Side, b: Side, console: Console) -> None:
    """Figures side by side with the difference and who is better, then what else differs."""
    left, right = a.version.number, b.version.number
    table = _table(say("figure", "指标"), left, right, f"{right} - {left}", say("better", "更优"))
    for figure in compare.figures(a.version.metrics, b.version.metrics):
        gap = figure.difference
        table.add_row(
            figure.name,
            _number(figure.a),
            _number(figure.b),
            "-" if gap is None else f"{gap:+.4f}",
            {"a": left, "b": right}.get(figure.better, ""),
        )
    console.print(table)
    differing = _table(say("differs in", "差异"), left, right)
    for name, mine, theirs in compare.origins(a, b):
        differing.add_row(name, mine, theirs)
    if differing.row_count:
        console.print(differing)
    for kind, (only_left, only_right) in compare.features(a.manifest, b.manifest).items():
        for number, names in ((left, only_left), (right, only_right)):
            if names:
                text = f"{kind}: {say('only', '仅')} {number}: {', '.join(names)}"
                console.print(text, soft_wrap=True)


def _table(*headings: str) -> Table:
    table = Table()
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.4f}"
