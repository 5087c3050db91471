"""A card's tables are made of the figures that there are."""

from __future__ import annotations

from training import card


def test_figures_stand_in_the_table_of_their_kind_and_none_is_lost() -> None:
    metrics = {
        "encoder_recall_at_20": 0.3,
        "encoder_ndcg_at_10": 0.2,
        "ease_recall_at_20": 0.4,
        "ease_ndcg_at_10": 0.25,
        "rank_ranker_ndcg_at_10": 0.5,
        "rank_ranker_hit_at_10": 0.75,
        "rank_segment_new_ndcg_at_10": 0.4,
        "repurchase_7d_auc": 0.8,
        "repurchase_7d_recency_auc": 0.7,
        "repurchase_7d_ece": 0.01,
        "repurchase_7d_temporal": 1.0,
        "coverage_at_10": 0.125,
    }

    text = card.figures(metrics)

    lines = text.splitlines()
    assert lines[2:4] == ["| ease | 0.4000 | 0.2500 |", "| encoder | 0.3000 | 0.2000 |"]
    assert "| ranker | 0.5000 | 0.7500 | - |" in lines
    assert "| new | 0.4000 |" in lines
    assert "| repurchase_7d | 0.800 | 0.700 | - | 0.010 | - | - | - | later snapshot |" in lines
    assert lines[-1] == "| coverage_at_10 | 0.125 |"
    assert text.count("repurchase_7d") == 1


def test_no_figures_are_no_tables() -> None:
    assert card.figures({}) == ""


def test_the_templates_that_ship_are_there() -> None:
    assert card.TEMPLATE.is_file()
    assert card.BROUGHT_TEMPLATE.is_file()
