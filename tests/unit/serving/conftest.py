"""The tiny bundle, and the answering side built from parts in memory."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import msgspec
import pytest

from nearline.clock import FixedClock
from nearline.contracts.event import Event
from serving.answers import Answering, Held
from serving.bundles import Shelf
from serving.caps import MemoryCaps
from serving.exposures import Exposures
from serving.keeping import Keeper
from serving.memory import MemoryFeatures
from serving.policy.load import shipped
from serving.policy.model import Exploration, Policy
from serving.score_reading import Scores
from serving.served_log import ServedLog
from serving.turns import Turns


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
    caps: MemoryCaps
    logged: list[Event]
    exposures: Exposures
    answering: Answering
    clock: FixedClock
    served: list[bytes]
    keeper: Keeper
    policy: list[Policy]  # The last one holds.
    items_loaded: bool = True
    log_fails: list[bool] = field(default_factory=list)


@pytest.fixture
def world(tiny: ModuleType, bundle_folder: Path) -> World:
    shelf = Shelf()
    shelf.prepare("1", bundle_folder)
    shelf.activate("1")
    return build_world(tiny, shelf)


@pytest.fixture
def bare_world(tiny: ModuleType) -> World:
    """Without any bundle."""
    return build_world(tiny, Shelf())


def build_world(tiny: ModuleType, shelf: Shelf) -> World:
    features, clock, caps = MemoryFeatures(), FixedClock(tiny.NOW_US), MemoryCaps()
    logged: list[Event] = []
    log_fails: list[bool] = []
    # What is told of the tiny shop's own answers must not depend on chance.
    policy = [without_exploration(shipped())]

    async def append(batch: list[Event]) -> None:
        if log_fails and log_fails[-1]:
            raise OSError("the log is away")
        logged.extend(batch)

    served: list[bytes] = []

    async def keep(batch: Sequence[bytes]) -> None:
        served.extend(batch)

    exposures, keeper = Exposures(append), Keeper()
    numbers, turns = iter(range(1_000_000)), Turns(5_000)
    world: World
    answering = Answering(
        held=Held(
            shelf, lambda: features.items if world.items_loaded else None, lambda: policy[-1]
        ),
        features=features,
        caps=caps,
        scores=Scores(features, shelf, turns),
        exposures=exposures,
        served=ServedLog(keep, share=1.0),
        turns=turns,
        clock=clock,
        keeper=keeper,
        entropy=lambda size: next(numbers).to_bytes(size, "big"),
        deadline_ms=5_000,
    )
    world = World(
        features,
        shelf,
        caps,
        logged,
        exposures,
        answering,
        clock,
        served,
        keeper,
        policy,
        log_fails=log_fails,
    )
    return world


def without_exploration(policy: Policy) -> Policy:
    scenes = {
        name: msgspec.structs.replace(scene, explore=Exploration())
        for name, scene in policy.scenes.items()
    }
    return msgspec.structs.replace(policy, scenes=scenes)
