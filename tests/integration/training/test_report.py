"""A run leaves its report with MLflow, and the command writes it down."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.integration.training.conftest import TrainedShop
from training.report import FINDERS


def test_every_simple_model_stands_beside_the_encoder(trained: TrainedShop) -> None:
    for name in FINDERS:
        assert 0 <= trained.metrics[f"{name}_ndcg_at_10"] <= 1, name
        assert 0 <= trained.metrics[f"{name}_recall_at_20"] <= 1, name
    # Two tastes, twenty items each: what one taste meets together, simple models find too.
    assert trained.metrics["item_knn_ndcg_at_10"] > trained.metrics["popularity_ndcg_at_10"]


def test_the_report_of_a_version_is_one_html_page_from_mlflow(
    trained: TrainedShop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from training.model_commands import models

    monkeypatch.setenv("NEARLINE_HOME", str(trained.settings.home))
    file = tmp_path / "out" / "report.html"

    done = CliRunner().invoke(models, ["report", trained.version, str(file)])

    assert done.exit_code == 0, done.output
    page = file.read_text(encoding="utf-8")
    assert f"{trained.metrics['encoder_ndcg_at_10']:.4f}" in page
    assert all(f"<td>{name}</td>" in page for name in FINDERS)
    assert "history_10_up" in page
    assert f"<td>{trained.metrics['rank_segment_long_ndcg_at_10']:.4f}</td>" in page
    assert "exact: 40 items are fewer than 200,000" in page
    assert "编码器学习曲线" in page
