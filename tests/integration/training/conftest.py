"""A tiny shop, trained once with the quick recipe through the real command's parts."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from rich.console import Console

from nearline.clock import FixedClock
from nearline.say import Words
from nearline.settings import Settings
from tests.unit.training.histories import START_US, two_tastes, write


@dataclass(frozen=True)
class TrainedShop:
    """Where a run lies, and what it said of itself."""

    settings: Settings
    version: str
    metrics: dict[str, float]
    left_out: list[Words]


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TrainedShop:
    """Everything from history and Feast to a registered bundle; seconds after the imports."""
    from training.job import train
    from training.progress import Bars
    from training.recipes import quick

    home: Path = tmp_path_factory.mktemp("trained")
    settings = Settings(home=home, redis_url="redis://127.0.0.1:1/0")  # Training needs no Redis.
    write(settings.history, two_tastes(customers=150))
    with Bars(Console(quiet=True)) as bars:
        done = train(settings, quick(), FixedClock(START_US), bars)
    return TrainedShop(settings, done.version, done.metrics, done.left_out)
