"""The tiny bundle, and the answering side built from parts in memory."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import pytest

from nearline.clock import FixedClock
from nearline.contracts.event import Event
from serving.answers import Answering, Patience
from serving.bundles import Shelf
from serving.churn import Churn
from serving.exposures import Exposures
from serving.memory import MemoryFeatures
from serving.ranking import Ranking
from serving.retrieval import Retrieval
from serving.served_log import ServedLog


def load_tiny() -> ModuleType:
    """tiny.py as a module: tests are not packages, so it cannot be imported by name."""
    spec = importlib.util.spec_from_file_location(
        "nearline_tests_tiny_bundle", Path(__file__).with_name("tiny.py")
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def tiny() -> ModuleType:
    return load_tiny()


@pytest.fixture(scope="session")
def bundle_folder(tiny: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write(tmp_path_factory.mktemp("bundle") / "1")


@dataclass
class World:
    """The whole answering side in one process."""

    features: MemoryFeatures
    shelf: Shelf
    ranking_shelf: Shelf
    logged: list[Event]
    exposures: Exposures
    answering: Answering
    clock: FixedClock
    served: list[bytes]
    log_fails: list[bool] = field(default_factory=list)


@pytest.fixture
def world(tiny: ModuleType, bundle_folder: Path) -> World:
    shelf, ranking_shelf = Shelf(), Shelf()
    for one in (shelf, ranking_shelf):
        one.prepare("1", bundle_folder)
        one.activate("1")
    return build_world(tiny, shelf, ranking_shelf)


@pytest.fixture
def bare_world(tiny: ModuleType) -> World:
    """Without any bundle."""
    return build_world(tiny, Shelf(), Shelf())


def build_world(tiny: ModuleType, shelf: Shelf, ranking_shelf: Shelf) -> World:
    features, clock = MemoryFeatures(), FixedClock(tiny.NOW_US)
    logged: list[Event] = []
    log_fails: list[bool] = []

    async def append(batch: list[Event]) -> None:
        if log_fails and log_fails[-1]:
            raise OSError("the log is away")
        logged.extend(batch)

    served: list[bytes] = []

    async def keep(batch: Sequence[bytes]) -> None:
        served.extend(batch)

    exposures = Exposures(append)
    numbers = iter(range(1_000_000))
    answering = Answering(
        retrieval=Retrieval(features, shelf),
        ranking=Ranking(ranking_shelf),
        churn=Churn(features, shelf),
        spare=Retrieval(features, Shelf()),
        features=features,
        exposures=exposures,
        served=ServedLog(keep, share=1.0),
        patience=Patience(5_000, 5_000, 5_000),
        clock=clock,
        entropy=lambda size: next(numbers).to_bytes(size, "big"),
    )
    return World(
        features, shelf, ranking_shelf, logged, exposures, answering, clock, served, log_fails
    )
