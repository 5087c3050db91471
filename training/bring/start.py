"""A bundle to start from, for notebooks and first tries."""

from __future__ import annotations

from nearline import settings as settings_module
from nearline.clock import SystemClock
from nearline.contracts.bundle import CHALLENGER, CHAMPION
from nearline.say import say
from training.tracking import Registry


def ensure_bundle(recipe: str = "quick") -> str:
    """The champion's version; without any bundle, one is trained and offered to the gate first.

    What the gate refuses stays challenger, and can be started from all the same. Raises
    NotEnoughHistory when the history cannot teach a model.
    """
    settings = settings_module.load()
    registry = Registry(settings.mlflow_uri, settings.mlflow_artifacts)
    found = registry.at(CHAMPION) or registry.at(CHALLENGER)
    if found is not None:
        return found.number
    import click
    from rich.console import Console

    from training import gate, job, promotion, recipes
    from training.progress import Bars

    clock = SystemClock()
    with Bars(Console(quiet=True)) as bars:
        trained = job.train(settings, recipes.RECIPES[recipe](), clock, bars)
    newest_us = gate.newest_us(settings.history, clock.now_us())
    try:
        gate.promote(registry, trained.version, promotion.POLICY, newest_us)
        click.echo(
            say(f"Version {trained.version} is champion.", f"版本 {trained.version} 已上线。")
        )
    except promotion.PromotionRefused as refused:
        click.echo(str(refused))
    return trained.version
