"""Which local copies of bundles go, and which never do."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nearline import copies

HOLDS = (
    "import sys; from pathlib import Path; from nearline import copies; "
    "print(copies.hold(Path(sys.argv[1])), flush=True); sys.stdin.read()"
)


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    yield
    for copy in list(copies._held):
        copies.remove(copy)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for version in range(1, 13):
        (tmp_path / str(version)).mkdir()
        (tmp_path / str(version) / "manifest.json").write_text("{}")
    (tmp_path / ".13.ab.tmp").mkdir()  # being fetched
    return tmp_path


def names(folder: Path) -> list[str]:
    return sorted((path.name for path in folder.iterdir()), key=lambda name: name.zfill(12))


def test_the_named_and_the_newest_three_stay(folder: Path) -> None:
    gone = copies.prune(folder, {"2", "7"})

    assert gone == ["1", "3", "4", "5", "6", "8", "9"]
    assert set(names(folder)) == {"2", "7", "10", "11", "12", ".13.ab.tmp"}


def test_a_process_keeps_the_last_four_that_it_asked_for(folder: Path) -> None:
    for version in (1, 2, 3, 4, 5, 2):
        assert copies.hold(folder / str(version))

    copies.prune(folder, ())

    left = {name for name in names(folder) if len(name) == 1}
    assert left == {"2", "3", "4", "5"}
    assert not copies.hold(folder / "1")


def test_what_another_process_holds_stays_until_it_ends(folder: Path) -> None:
    other = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(folder / "1")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert other.stdout is not None
    assert other.stdout.readline() == "True\n"

    assert "1" not in copies.prune(folder, ())
    other.kill()
    other.communicate()

    assert copies.prune(folder, ()) == ["1"]
