from __future__ import annotations

from nearline.bench.machine import Machine
from training.page import horizons_days, to_markdown
from training.tracking import Version


def test_a_page_shows_the_registrys_figures_and_a_dash_where_there_is_none() -> None:
    version = Version(
        number="3",
        created_at_ms=1_760_011_200_000,
        aliases=("champion",),
        metrics={
            "encoder_ndcg_at_10": 0.25,
            "churn_14d_auc": 0.8,
            "churn_7d_auc": 0.9,
            "test_questions": 50.0,
            "test_questions_of_new_items": 7.0,
        },
        tags={},
        parameters={"name": "demo_shop", "seed": "7"},
    )

    page = to_markdown(version, Machine("a CPU", 2, 24.0, "Linux", "3.11", 0.0), "nearline train")

    assert "| encoder | - | 0.2500 |" in page
    assert "On 50 questions. 7 of them ask for an item that arrived after" in page
    assert "2025-10-09 12:00 UTC as version 3" in page
    assert page.index("| 7 days | 0.9000 |") < page.index("| 14 days | 0.8000 |")


def test_horizons_are_read_off_the_names_of_figures() -> None:
    metrics = {"churn_30d_auc": 1.0, "churn_14d_auc": 1.0, "churn_14d_recency_auc": 1.0}

    assert horizons_days(metrics) == [14, 30]
