from __future__ import annotations

from pathlib import Path

import pytest

from nearline.contracts.bundle import (
    MANIFEST,
    BundleRefused,
    EncoderSpec,
    Manifest,
    ScoreSpec,
    Task,
    digests_of,
    features_hash,
    verify,
    write_manifest,
)


def sealed(folder: Path, **changes: object) -> Path:
    (folder / "items.json").write_text("[]")
    lists = (["views_1h"], ["price_cents"], ["customer_views_1h"])
    values: dict[str, object] = {
        "created_at": "2026-01-01T00:00:00Z",
        "data_from": "2025-01-01T00:00:00Z",
        "data_to": "2026-01-01T00:00:00Z",
        "items": 0,
        "encoder": EncoderSpec(50, 64),
        "customer_features": lists[0],
        "item_features": lists[1],
        "ranker_features": lists[2],
        "features_hash": features_hash(*lists),
        "metrics": {},
        "libraries": {},
        "code_version": "test",
        "digests": digests_of(folder),
    }
    write_manifest(folder, Manifest(**(values | changes)))  # type: ignore[arg-type]
    return folder


def test_a_sealed_bundle_verifies(tmp_path: Path) -> None:
    assert verify(sealed(tmp_path), "7").encoder.dimension == 64


def test_a_changed_file_is_refused_by_name(tmp_path: Path) -> None:
    sealed(tmp_path)
    (tmp_path / "items.json").write_text("[1]")

    with pytest.raises(BundleRefused, match=r"items\.json"):
        verify(tmp_path, "7")


def test_a_file_that_the_manifest_does_not_name_is_refused(tmp_path: Path) -> None:
    sealed(tmp_path)
    (tmp_path / "extra.json").write_text("{}")

    with pytest.raises(BundleRefused, match=r"extra\.json"):
        verify(tmp_path, "7")


def test_a_folder_within_a_bundle_is_refused_like_a_foreign_file(tmp_path: Path) -> None:
    sealed(tmp_path)
    (tmp_path / "more").mkdir()

    with pytest.raises(BundleRefused, match=r"more"):
        verify(tmp_path, "7")


def test_a_file_that_could_execute_code_is_refused_even_when_sealed(tmp_path: Path) -> None:
    (tmp_path / "model.pkl").write_bytes(b"\x80")

    with pytest.raises(BundleRefused, match=r"model\.pkl is not a kind of file"):
        verify(sealed(tmp_path), "7")


def test_feature_lists_that_do_not_match_their_hash_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleRefused, match="hash"):
        verify(sealed(tmp_path, features_hash="0" * 16), "7")


def test_a_model_that_is_named_but_not_held_is_refused(tmp_path: Path) -> None:
    named = [ScoreSpec("churn_14d", Task.CHURN, 14, "churn_14d.ubj", ["views_1h"])]

    with pytest.raises(BundleRefused, match=r"churn_14d\.ubj"):
        verify(sealed(tmp_path, scores=named), "7")


@pytest.mark.parametrize("text", ["", "{", '{"items": "many"}'])
def test_a_manifest_that_cannot_be_read_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / MANIFEST).write_text(text)

    with pytest.raises(BundleRefused, match="manifest"):
        verify(tmp_path, "7")


def test_a_folder_without_a_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleRefused, match=r"no manifest\.json"):
        verify(tmp_path, "7")
