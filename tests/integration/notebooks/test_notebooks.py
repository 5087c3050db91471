"""The notebooks run from top to bottom on a small shop, and are kept without outputs."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import nbformat
import pytest

from nearline import registry
from nearline.contracts.bundle import CHALLENGER, CHAMPION
from tests.unit.training.histories import two_tastes, write

FOLDER = Path(__file__).parents[3] / "docs" / "notebooks"
NAMES = ["features_point_in_time", "train_and_register"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("notebooks")
    write(home / "history", two_tastes(customers=150))
    return home


@pytest.fixture
def kernel(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A kernel that is this very Python, known under a name of its own."""
    folder = tmp_path / "jupyter" / "kernels" / "nearline-test"
    folder.mkdir(parents=True)
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    spec = {"argv": command, "display_name": "test", "language": "python"}
    (folder / "kernel.json").write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path / "ipython"))
    monkeypatch.setenv("NEARLINE_HOME", str(home))
    monkeypatch.setenv("NEARLINE_REDIS_URL", "redis://127.0.0.1:1/0")  # Learning needs no Redis.
    monkeypatch.setenv("NEARLINE_LANG", "en")
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    monkeypatch.setenv("PYTHONPATH", str(FOLDER.parents[1]))
    return "nearline-test"


@pytest.mark.parametrize("name", NAMES)
def test_it_is_kept_without_outputs_and_short(name: str) -> None:
    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    nbformat.validate(notebook)

    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in code)
    assert sum(len(cell.source.splitlines()) for cell in code) < 60


def test_there_is_no_notebook_that_is_not_run() -> None:
    assert sorted(path.stem for path in FOLDER.glob("*.ipynb")) == NAMES


def run(name: str, kernel: str, home: Path) -> str:
    """Everything that the notebook's cells print and show."""
    from nbclient import NotebookClient

    notebook = nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)
    client = NotebookClient(
        notebook, timeout=500, kernel_name=kernel, resources={"metadata": {"path": str(home)}}
    )
    client.execute()
    return "".join(
        output.get("text", "") + output.get("data", {}).get("text/plain", "")
        for cell in notebook.cells
        if cell.cell_type == "code"
        for output in cell.outputs
    )


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Jupyter's own parts
def test_features_point_in_time_runs(kernel: str, home: Path) -> None:
    said = run("features_point_in_time", kernel, home)

    assert "changed by the purchase" in said
    assert "bought after the cutoff" in said


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_train_and_register_runs_and_leaves_a_challenger(kernel: str, home: Path) -> None:
    said = run("train_and_register", kernel, home)

    uri = f"sqlite:///{home / 'mlflow.db'}"
    assert registry.resolve(uri, CHALLENGER) == "2"
    assert registry.resolve(uri, CHAMPION) in ("1", None)  # as the gate has decided
    assert "Version 2 is challenger: version 1 with another ranker." in said
    assert "data_age_hours" in said
    kept = registry.client(uri).get_model_version("nearline", "2")
    assert kept.tags["brought_by"] == "ann: ranker"
    assert kept.tags["parent"] == "1"
