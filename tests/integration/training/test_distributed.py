"""The same jobs on Ray, proved on a cluster of this machine: the same rows, and equal quality."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from click import Command
from click.testing import CliRunner

from nearline import offline
from nearline.embedded.valkey import free_port
from nearline.errors import PermanentError
from nearline.feast_layout import CUSTOMER_VIEW, ITEM_VIEW
from tests.unit.training.histories import two_tastes, write
from training import baselines, encoder
from training.commands import train
from training.datasets import Dataset, read
from training.distributed.cluster import LOCAL, connected
from training.distributed.encoder import shared
from training.metrics import single_target
from training.neighbours import start_vectors
from training.recipes import quick
from training.retraining_commands import retrain
from training.sequences import Windows, questions

SHAPE = replace(quick().encoder, max_epochs=4, patience=4)


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("shop"), two_tastes(customers=60))


@pytest.fixture(scope="module")
def cluster() -> Iterator[int]:
    with connected(LOCAL, cpus=3) as cpus:  # two workers, and one for what Ray itself runs
        yield cpus


def rows(folder: Path, view: str) -> list[dict[str, Any]]:
    table = pq.read_table(offline.source_path(folder, view))
    return table.sort_by("row_number").to_pylist()  # type: ignore[no-any-return]


@pytest.mark.ray
@pytest.mark.soak
@pytest.mark.filterwarnings("ignore")  # Ray's own, of every library that it touches
def test_rows_built_on_ray_are_those_built_here(
    history: Path, tmp_path: Path, cluster: int
) -> None:
    from training.distributed import data

    there = data.snapshot(history, tmp_path / "there", parts=3)
    here = offline.snapshot(history, tmp_path / "here")

    assert (there.events, there.customer_rows, there.item_rows) == (
        here.events, here.customer_rows, here.item_rows
    )  # fmt: skip
    for layout in (CUSTOMER_VIEW, ITEM_VIEW):
        assert rows(tmp_path / "there", layout.view) == rows(tmp_path / "here", layout.view)
    # one machine takes them for its own, and the cluster as well
    assert offline.snapshot(history, tmp_path / "there").unchanged
    assert data.snapshot(history, tmp_path / "there", parts=5).unchanged


@pytest.mark.ray
@pytest.mark.soak
@pytest.mark.filterwarnings("ignore")
def test_an_encoder_taught_by_two_workers_is_as_good_as_one_taught_here(
    history: Path, tmp_path: Path, cluster: int
) -> None:
    from training.distributed import encoder as distributed

    dataset = read(history)
    alone, _ = _taught(encoder.fit, dataset, tmp_path / "alone" / "encoder-a.pt")
    together, epochs = _taught(distributed.fit, dataset, tmp_path / "two" / "encoder-a.pt")

    assert epochs == [1, 2, 3, 4]
    assert abs(together - alone) < 0.15 * alone
    assert together > 0.3  # chance is 0.1

    # the same run again takes up what Ray Train kept, and has nothing left to learn
    others = tmp_path / "two" / "ray" / "encoder-b-2"
    others.mkdir()
    again, repeated = _taught(distributed.fit, dataset, tmp_path / "two" / "encoder-a.pt")
    assert (again, repeated) == (together, epochs)
    assert not others.exists()  # what other data left would fill the disk, run by run


@contextmanager
def ray_started(folder: Path, environ: Mapping[str, str]) -> Iterator[str]:
    """A cluster as an operator starts one, on ports of its own; its address."""
    port, client = free_port(), free_port()
    process = subprocess.Popen(
        [str(Path(sys.executable).with_name("ray")), "start", "--head", "--block",
         f"--port={port}", f"--ray-client-server-port={client}", "--num-cpus=2",
         "--include-dashboard=false", f"--temp-dir={folder}", "--object-store-memory=100000000"],
        env=dict(environ), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        start_new_session=True,
    )  # fmt: skip
    try:
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()  # With --block, Ray's own processes end with it.
        process.wait(60)


BUILD = """
import sys
from pathlib import Path
from training.distributed import data
from training.distributed.cluster import connected
with connected(sys.argv[1]):
    data.snapshot(Path(sys.argv[2]), Path(sys.argv[3]), parts=2)
"""


@pytest.mark.ray
@pytest.mark.soak
def test_a_cluster_that_is_there_builds_the_rows_for_whoever_has_its_token(
    history: Path, tmp_path: Path
) -> None:
    own = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "t" * 64}
    allowed = {**os.environ, **own, "PYTHONPATH": str(Path(__file__).parents[3])}
    allowed.pop("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", None)  # Of a cluster of this process' own.

    def build(address: str, environ: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
        words = [sys.executable, "-c", BUILD, address, str(history), str(tmp_path / "there")]
        return subprocess.run(words, env=dict(environ), capture_output=True, text=True, timeout=300)

    with (
        tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as short,
        ray_started(Path(short), allowed) as address,
    ):
        deadline = time.monotonic() + 120
        while (done := build(address, allowed)).returncode and time.monotonic() < deadline:
            time.sleep(1.0)  # It takes seconds to start.
        refused = build(address, allowed | {"RAY_AUTH_TOKEN": "f" * 64})

    assert done.returncode == 0, done.stderr
    offline.snapshot(history, tmp_path / "here")
    for layout in (CUSTOMER_VIEW, ITEM_VIEW):
        assert rows(tmp_path / "there", layout.view) == rows(tmp_path / "here", layout.view)
    assert "it asks for a token: set RAY_AUTH_MODE=token" in refused.stderr


LISTEN = """
import contextlib
import json
import psutil
from training.distributed.cluster import LOCAL, connected
with connected(LOCAL, cpus=1):
    import ray
    ray.get(ray.remote(lambda: 1).remote())
    here, doors = psutil.Process(), []
    for one in [here, *here.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):  # One of Ray's that has done its work.
            doors += [
                [one.name(), connection.laddr.ip.removeprefix("::ffff:")]
                for connection in one.net_connections() if connection.status == "LISTEN"
            ]
    print(json.dumps(doors))
"""


@pytest.mark.ray
@pytest.mark.slow
def test_only_this_machine_can_ask_a_cluster_of_its_own() -> None:
    """Whoever reaches one of Ray's servers can run code."""
    done = subprocess.run(
        [sys.executable, "-c", LISTEN],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    doors = json.loads(done.stdout.splitlines()[-1])
    assert {"gcs_server", "raylet"} < {name for name, _ in doors}
    assert {address for _, address in doors} == {"127.0.0.1"}


@pytest.mark.parametrize("command", [train, retrain], ids=["train", "retrain"])
@pytest.mark.parametrize("named", ["option", "environment"])
def test_the_address_of_a_ray_client_is_refused_with_what_to_give_instead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: Command, named: str
) -> None:
    monkeypatch.setenv("NEARLINE_HOME", str(tmp_path / "home"))
    words = []
    if named == "option":
        words = ["--ray", "ray://head:10001"]
    else:
        monkeypatch.setenv("NEARLINE_RAY_ADDRESS", "ray://head:10001")

    result = CliRunner().invoke(command, words)

    assert isinstance(result.exception, PermanentError)
    assert "'ray://head:10001' is the address of a Ray client" in str(result.exception)
    assert "with `--ray auto`" in str(result.exception)
    assert not (tmp_path / "home").exists()  # nothing was begun


def test_every_window_is_somebodys_and_all_have_as_many() -> None:
    whole = np.arange(1, 8)[:, None]
    parts = [shared(Windows(whole, whole, whole), rank, 3) for rank in range(3)]

    assert [len(part) for part in parts] == [3, 3, 3]
    assert {int(row) for part in parts for row in part.items_WL[:, 0]} == set(range(1, 8))


def _taught(fit: Any, dataset: Dataset, checkpoint: Path) -> tuple[float, list[int]]:
    data = dataset.interactions
    cut = int(np.quantile(data.occurred_at_us, 0.8))
    asked = questions(data, SHAPE.history_length, cut, dataset.to_us, 300, seed=1)
    train = data.until(cut)
    epochs: list[int] = []
    model = fit(
        train, len(dataset.items), asked, SHAPE,
        start=start_vectors(train, len(dataset.items), SHAPE.dimension, seed=1),
        seed=5, checkpoint=checkpoint, report=lambda figures: epochs.append(int(figures["epoch"])),
    )  # fmt: skip
    return single_target(baselines.ranks(asked, encoder.scorer(model)), 10)[1], epochs
