"""Two bundles side by side."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from nearline.contracts.bundle import Lineage, RankerFormat, RankerSpec, verify
from tests.unit.court.tiny_bundle import tiny
from training import compare
from training.compare import Side
from training.tracking import Version


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("rank_ranker_ndcg_at_10", 1),
        ("churn_14d_auc", 1),
        ("churn_14d_ece", -1),
        ("bundle_p99_ms", -1),
        ("data_age_hours", -1),
        ("test_questions", 0),
        ("churn_14d_base_rate", 0),
        ("something_new", 0),
    ],
)
def test_which_way_is_better(name: str, expected: int) -> None:
    assert compare.direction(name) == expected


def test_figures_have_a_difference_and_a_winner_where_both_have_them() -> None:
    a = {"x_auc": 0.7, "x_ece": 0.02, "test_questions": 10.0, "only_auc": 0.5, "epoch_loss": 1.0}
    b = {"x_auc": 0.8, "x_ece": 0.03, "test_questions": 12.0}

    found = {one.name: one for one in compare.figures(a, b)}

    assert found["x_auc"].difference == pytest.approx(0.1)
    assert [found[name].better for name in ("x_auc", "x_ece", "test_questions", "only_auc")] == [
        "b",
        "a",
        "",
        "",
    ]
    assert found["only_auc"].difference is None
    assert "epoch_loss" not in found


def test_only_what_differs_in_origin_and_features_is_told(tmp_path: Path) -> None:
    manifest = verify(tiny().write(tmp_path / "1"), "1")
    assert manifest.ranker is not None
    other = msgspec.structs.replace(
        manifest,
        data_to="2026-11-21T00:00:00Z",
        lineage=Lineage(parent="1", brought_by="ann: ranker"),
        ranker=RankerSpec(RankerFormat.LIGHTGBM, "ranker.txt", manifest.ranker.features[1:]),
    )
    version = Version("1", 0, (), {}, {}, {})
    a, b = Side(version, manifest), Side(version, other)

    assert compare.origins(a, a) == []
    assert compare.origins(a, b) == [
        ("data_to", "2026-11-20T00:00:00Z", "2026-11-21T00:00:00Z"),
        ("ranker", "xgboost", "lightgbm"),
        ("parent", "-", "1"),
        ("brought_by", "-", "ann: ranker"),
    ]
    assert compare.features(manifest, other) == {
        "ranker's inputs": ([manifest.ranker.features[0]], [])
    }
