"""A bundle's costs are measured where a broken file can hurt nobody."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from nearline.bundle_probe import ProbeFailed, measure
from nearline.contracts import bundle as contract
from tests.unit.court.tiny_bundle import tiny


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(tiny().write(tmp_path_factory.mktemp("probe") / "1"))


def reseal(folder: Path) -> None:
    import msgspec

    path = folder / contract.MANIFEST
    manifest = msgspec.json.decode(path.read_bytes(), type=contract.Manifest)
    contract.write_manifest(
        folder, msgspec.structs.replace(manifest, digests=contract.digests_of(folder))
    )


def test_two_bundles_are_timed_side_by_side_and_weighed(folder: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(folder, tmp_path / "2"))
    (other / "card.md").write_text("x" * 1_000_000)
    reseal(other)

    first, second = measure([folder, other], questions=20)

    assert first.questions == 20
    assert 0 < first.p50_ms <= first.p99_ms
    assert first.cpu_ms > 0
    files = sum(path.stat().st_size for path in folder.iterdir())
    assert first.size_mb == pytest.approx(files / 1e6)
    assert second.size_mb == pytest.approx(first.size_mb + 1.0, abs=0.001)


def test_an_encoder_whose_answer_is_no_number_fails_with_a_sentence(tmp_path: Path) -> None:
    broken = tiny().write(tmp_path / "3", encoder="nan")

    with pytest.raises(ProbeFailed, match="encoder gives"):
        measure([broken], questions=2)


def test_a_file_that_is_no_model_fails_here_and_not_in_this_process(
    folder: Path, tmp_path: Path
) -> None:
    broken = Path(shutil.copytree(folder, tmp_path / "4"))
    (broken / contract.INDEX).write_bytes(b"IxFI" + b"\xff" * 64)
    reseal(broken)

    with pytest.raises(ProbeFailed):
        measure([broken], questions=2)


def test_a_file_that_no_question_needs_is_tried_as_well(folder: Path, tmp_path: Path) -> None:
    broken = Path(shutil.copytree(folder, tmp_path / "6"))
    (broken / contract.CONTENT).write_text('{"categories": 1}')
    reseal(broken)

    with pytest.raises(ProbeFailed, match="ValidationError"):
        measure([broken], questions=2)


def test_a_tampered_bundle_is_not_even_read(folder: Path, tmp_path: Path) -> None:
    broken = Path(shutil.copytree(folder, tmp_path / "5"))
    (broken / contract.POPULAR).write_text("[0]")

    with pytest.raises(ProbeFailed, match="changed after it was sealed"):
        measure([broken], questions=2)
