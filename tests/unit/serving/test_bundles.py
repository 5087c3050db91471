"""What may serve, and how it takes over."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import numpy as np
import pytest

from nearline.contracts import bundle as contract
from nearline.contracts.bundle import BundleRefused
from serving.bundles import Part, Shelf, load


@pytest.fixture
def copy(bundle_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(bundle_folder, tmp_path / "copy"))


def test_a_sealed_bundle_loads_whole(bundle_folder: Path, tiny: ModuleType) -> None:
    bundle = load(bundle_folder, "1")

    assert bundle.finder is not None
    assert len(bundle.finder.catalogue.item_ids) == tiny.ITEMS
    assert bundle.ranker is not None
    assert [model.name for model in bundle.scores.models] == tiny.SCORES


def test_a_stage_loads_only_its_part(bundle_folder: Path) -> None:
    bundle = load(bundle_folder, "1", (Part.RANKER,))

    assert bundle.finder is None
    assert bundle.ranker is not None
    assert bundle.scores.models == ()


@pytest.mark.parametrize(
    "file",
    [
        contract.ENCODER,
        contract.INDEX,
        contract.ITEMS,
        contract.COVISITS,
        contract.CONTENT,
        contract.RANKER_FILES[contract.RankerFormat.XGBOOST],
        "churn_14d.ubj",
        contract.CATEGORY_SHARES,
        contract.LIFETIME,
    ],
)
def test_a_file_changed_after_sealing_is_refused(copy: Path, file: str) -> None:
    data = bytearray((copy / file).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / file).write_bytes(bytes(data))

    with pytest.raises(BundleRefused, match="changed after it was sealed"):
        load(copy, "1")


def test_a_foreign_file_is_refused(copy: Path) -> None:
    (copy / "helper.py").write_text("raise SystemExit")

    with pytest.raises(BundleRefused, match="does not name"):
        load(copy, "1")


def test_features_that_this_code_does_not_know_are_refused_by_name(copy: Path) -> None:
    path = copy / contract.MANIFEST
    manifest = json.loads(path.read_text())
    manifest["customer_features"][0] = "moon_phase"
    lists = [manifest[f"{kind}_features"] for kind in ("customer", "item", "ranker")]
    manifest["features_hash"] = contract.features_hash(*lists)
    path.write_text(json.dumps(manifest))

    with pytest.raises(BundleRefused, match="moon_phase"):
        load(copy, "1")


@pytest.mark.parametrize(
    ("array", "change", "why"),
    [
        ("browsed_items", lambda found: found[:-1], "for 60 items"),
        ("carted_items", lambda found: found + 60, "point outside"),
        ("bought_items", lambda found: found.astype(np.int64), "are int64"),
        ("bought_weights", lambda weights: weights * np.float32(np.nan), "not finite"),
        ("carted_weights", None, "no table 'carted'"),
    ],
)
def test_covisits_that_do_not_fit_the_items_are_refused(
    tiny: ModuleType, copy: Path, array: str, change: Any, why: str
) -> None:
    with np.load(copy / contract.COVISITS) as held:
        arrays = dict(held)
    if change is None:
        del arrays[array]
    else:
        arrays[array] = change(arrays[array])
    np.savez(copy / contract.COVISITS, allow_pickle=False, **arrays)

    with pytest.raises(BundleRefused, match=why):
        load(resealed(tiny, copy), "1")


def test_a_content_table_of_other_vectors_is_refused(tiny: ModuleType, copy: Path) -> None:
    table = json.loads((copy / contract.CONTENT).read_text())
    table["categories"]["c0"] = [1.0]
    (copy / contract.CONTENT).write_text(json.dumps(table))

    with pytest.raises(BundleRefused, match=r"vectors of \[1, 8\]"):
        load(resealed(tiny, copy), "1")


def test_a_bundle_without_covisits_and_content_serves_without_those_sources(
    tiny: ModuleType, copy: Path
) -> None:
    (copy / contract.COVISITS).unlink()
    (copy / contract.CONTENT).unlink()

    finder = load(resealed(tiny, copy), "1").finder

    assert finder is not None
    assert finder.sources.covisits is None
    assert finder.sources.contents is None


def resealed(tiny: ModuleType, folder: Path) -> Path:
    """The bundle sealed again over files that were changed."""
    specs = msgspec.json.decode(
        (folder / contract.MANIFEST).read_bytes(), type=contract.Manifest
    ).scores
    (folder / contract.MANIFEST).unlink()
    return Path(tiny.seal(folder, specs))


def test_an_encoder_that_answers_nonsense_is_refused(tiny: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(BundleRefused, match="ValueError"):
        load(tiny.write(tmp_path / "2", encoder="nan"), "2")


def test_an_index_that_does_not_fit_the_items_is_refused(copy: Path) -> None:
    rows = json.loads((copy / contract.ITEMS).read_text())
    (copy / contract.ITEMS).write_text(json.dumps(rows[:-1]))
    manifest = msgspec.json.decode((copy / contract.MANIFEST).read_bytes(), type=contract.Manifest)
    manifest = msgspec.structs.replace(manifest, digests=contract.digests_of(copy))
    contract.write_manifest(copy, manifest)

    with pytest.raises(BundleRefused, match="60 vectors, 59 items"):
        load(copy, "1")


def test_a_refused_bundle_leaves_the_old_one_answering(
    bundle_folder: Path, tiny: ModuleType, tmp_path: Path
) -> None:
    shelf = Shelf()
    shelf.prepare("1", bundle_folder)
    shelf.activate("1")

    with pytest.raises(BundleRefused):
        shelf.prepare("2", tiny.write(tmp_path / "2", encoder="nan"))

    assert shelf.current is not None
    assert shelf.current.version == "1"
    assert shelf.versions == ("1",)


def test_the_last_two_bundles_stay_resident(bundle_folder: Path) -> None:
    shelf = Shelf()
    for version in ("1", "2", "3"):
        shelf.prepare(version, bundle_folder)
        shelf.activate(version)

    assert shelf.versions == ("2", "3")
    assert shelf.get("1") is None


def test_a_request_under_way_finds_its_bundle_after_a_swap(bundle_folder: Path) -> None:
    shelf = Shelf()
    shelf.prepare("1", bundle_folder)
    shelf.activate("1")
    shelf.prepare("2", bundle_folder)
    assert shelf.current is not None
    assert shelf.current.version == "1"  # prepared is not active

    shelf.activate("2")

    assert shelf.current.version == "2"
    assert shelf.get("1") is not None


def test_a_rollback_to_a_resident_bundle_needs_no_loading(bundle_folder: Path) -> None:
    shelf = Shelf()
    for version in ("1", "2"):
        shelf.prepare(version, bundle_folder)
        shelf.activate(version)

    shelf.prepare("1", Path("/nowhere"))
    shelf.activate("1")

    assert shelf.current is not None
    assert shelf.current.version == "1"


def test_what_is_not_resident_cannot_be_activated() -> None:
    with pytest.raises(KeyError, match="prepare it first"):
        Shelf().activate("9")
