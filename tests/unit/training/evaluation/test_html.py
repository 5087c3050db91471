"""The report shows what was measured, leaves out what was not, and needs no other file."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from nearline.say import Words
from training.evaluation.html import Facts, render
from training.journal import Journal

FACTS = Facts("Run of <toys>", (("seed", "7"),))
FOUND = {"recall_at_20": 0.2, "ndcg_at_10": 0.1, "coverage_at_10": 0.5, "gini_at_10": float("nan")}


OF_NEW = {
    "questions": 1_234.0, "ndcg_at_10": 0.25, "ndcg_at_10_low": 0.2, "ndcg_at_10_high": 0.3,
    "lead": 0.05, "lead_low": -0.01, "lead_high": 0.11,
}  # fmt: skip


def full() -> Journal:
    return Journal(
        metrics={
            "test_questions": 500.0,
            "test_questions_of_new_items": 20.0,
            "rank_ranker_ndcg_at_10": 0.3,
            "rank_ranker_hit_at_10": 0.6,
            "rank_ranker_precision_at_10": 0.08,
            "rank_retrieval_ndcg_at_10": 0.2,
            "ranker_lead": 0.1,
            "ranker_lead_low": 0.05,
            "ranker_lead_high": 0.15,
            **{f"rank_segment_new_{key}": value for key, value in OF_NEW.items()},
            "churn_14d_auc": 0.81,
            "churn_14d_ece": 0.02,
        },
        curve=[{"epoch": 1.0, "loss": 5.0, "ndcg_at_10": 0.1}],
        left_out=[Words("churn over 30 days: too <few>", "30 天流失：太少")],
        curves={
            "churn_14d": {
                "chance": [0.1, 0.9],
                "seen": [0.2, 0.8],
                "alert_rate": [0.1, 1.0],
                "recall": [0.3, 1.0],
                "precision": [0.9, 0.2],
            },
            "churn_14d_truth": {
                "alert_rate": [0.1, 1.0],
                "recall": [0.3, 1.0],
                "precision": [0.9, 0.2],
            },
        },
        index=Words("exact: 40 items are <few>", "精确检索：商品少"),
        ranking={"ranker": {"coverage_at_10": 0.4, "diversity_at_10": 0.7, "gini_at_10": 0.9}},
        retrieval={"encoder": FOUND, "rules": FOUND | {"ndcg_at_10": 0.05}},
        segments={"customer_new": {"questions": 60.0, "encoder": 0.12, "rules": 0.04}},
    )


class Balanced(HTMLParser):
    """Raises when a tag closes that is not the last opened."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_every_figure_stands_in_its_section_with_its_plots() -> None:
    page = render(FACTS, full())

    assert page.count("<svg") == 7  # finders, orders, lead, curve, calibration, alerts twice
    assert '<tr class="ours"><td>encoder</td><td>0.2000</td><td>0.1000</td>' in page
    assert "<td>customer_new</td><td>60</td><td>0.1200</td><td>0.0400</td>" in page
    assert "leads the best single source by +0.1000 (95 % paired bootstrap interval +0.0500" in page
    assert (
        "<tr><td>new</td><td>1,234</td><td>0.2500</td><td>0.2000 – 0.3000</td>"
        "<td>+0.0500</td><td>-0.0100 – +0.1100</td></tr>"
    ) in page
    assert "returning</td>" not in page  # nobody of them was asked about
    assert "exact: 40 items are &lt;few&gt;<br>精确检索：商品少" in page
    assert (
        '<tr class="ours"><td>ranker</td><td>0.3000</td><td>0.6000</td><td>0.0800</td>'
        "<td>0.4000</td><td>0.7000</td><td>–</td><td>0.9000</td><td>–</td></tr>"
    ) in page
    assert "500 questions" in page
    assert "20 ask for an item that arrived later" in page
    assert "Score churn_14d" in page
    assert "<li>churn over 30 days: too &lt;few&gt;<br>30 天流失：太少</li>" in page
    assert "nan" not in re.sub(r"<svg.*?</svg>", "", page, flags=re.DOTALL)


def test_the_page_is_whole_bilingual_and_loads_nothing() -> None:
    page = render(FACTS, full())

    parser = Balanced()
    parser.feed(page)
    assert parser.open == []
    assert "Run of &lt;toys&gt;" in page
    assert all(word in page for word in ("预测下一个新商品", "候选排序", "学习曲线", "分群"))
    assert "<script" not in page
    assert not re.search(r"""(src|href)=["'](?!#)""", re.sub(r"xlink:href", "href", page))


def test_the_same_figures_give_the_same_page() -> None:
    assert render(FACTS, full()) == render(FACTS, full())


def test_what_was_not_measured_is_left_out() -> None:
    page = render(FACTS, Journal())

    assert "<h2>" not in page
    assert "<svg" not in page
