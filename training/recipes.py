"""Named training runs: each function returns the whole configuration.

What differs from the defaults, differs for a reason that stands beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from training.config import (
    ChurnConfig,
    EncoderConfig,
    RankerConfig,
    TrainingConfig,
)


def demo_shop() -> TrainingConfig:
    """The simulated shop: 1,500 items, each met about a hundred times."""
    return TrainingConfig(name="demo_shop")


def events() -> TrainingConfig:
    """A recorded log of a wide, thinly met catalogue, such as RetailRocket's.

    Three meetings an item are soon learnt by heart: much dropout, and more refit epochs,
    since a fifth of the items is new in any month.
    """
    return TrainingConfig(
        name="events",
        encoder=EncoderConfig(dropout=0.5, max_epochs=16, patience=5, refit_epochs=5),
    )


def retailrocket() -> TrainingConfig:
    """The published RetailRocket log."""
    return replace(events(), name="retailrocket")


def quick() -> TrainingConfig:
    """Seconds on a toy history, through every stage: for tests, not for customers."""
    return TrainingConfig(
        name="quick",
        encoder=EncoderConfig(
            history_length=20,
            dimension=16,
            negatives=32,
            max_epochs=3,
            patience=2,
            refit_epochs=1,
            validation_cases=200,
            test_cases=200,
        ),
        ranker=RankerConfig(train_points=200, test_points=60, trees=30, patience=5),
        churn=ChurnConfig(
            horizons_days=(7, 14),
            snapshot_step_days=4.0,
            max_snapshots=3,
            trees=30,
            smallest_leaf=1.0,
            min_class_rows=3,
        ),
        popular_items=50,
    )


RECIPES: dict[str, Callable[[], TrainingConfig]] = {
    recipe.__name__: recipe for recipe in (demo_shop, events, retailrocket, quick)
}
