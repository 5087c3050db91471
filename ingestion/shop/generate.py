"""Writes a simulated shop: its history into Parquet by day, the truth apart.

Everything is prepared in a staging folder and moved into the history at the end; `shop.json`
is written last. What a killed run left behind is removed by the next one.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ingestion.shop import truth
from ingestion.shop.life import Simulation
from ingestion.shop.listings import Listings
from ingestion.shop.world import build
from nearline import history
from nearline.contracts.event import Event
from nearline.errors import PermanentError
from nearline.settings import Settings
from nearline.transforms.buckets import DAY_US

_RULES = 1  # Raise it when equal parameters come to give other acts of customers.


@dataclass(frozen=True, slots=True)
class Parameters:
    """All that decides a shop, to the byte. History covers `days` of 24 hours up to `until_us`."""

    customers: int
    items: int
    days: int
    seed: int
    until_us: int

    @property
    def fingerprint(self) -> str:
        text = json.dumps([_RULES, asdict(self)])
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    @property
    def start_us(self) -> int:
        return self.until_us - self.days * DAY_US


class OtherShop(PermanentError):
    """The home folder holds a shop already, and it is not the one asked for."""

    def __init__(self, held: truth.Shop, home: Path) -> None:
        self.held = held
        super().__init__(
            f"{home} already holds another simulated shop ({held.customers:,} customers, "
            f"{held.items:,} items, {held.days} days, seed {held.seed}). Two shops in one history "
            "would be nobody's truth: add --replace to remove it, or choose another folder with "
            "NEARLINE_HOME=/path"
        )


def generate(
    settings: Settings,
    parameters: Parameters,
    *,
    replace: bool,
    on_day: Callable[[int], None] = lambda events: None,
) -> truth.Shop:
    """Write the shop and return what was written; the same shop again is left as it is.

    `on_day` is called after each simulated day with its number of events. Raises OtherShop.
    """
    held = truth.read_shop(settings.truth)
    if held is not None and held.fingerprint == parameters.fingerprint:
        return held
    if held is not None and not replace:
        raise OtherShop(held, settings.home)
    # From here until the new shop.json, nothing counts as finished.
    (settings.truth / truth.SHOP).unlink(missing_ok=True)
    remove_leftovers(settings)
    rng = np.random.default_rng(parameters.seed)
    world = build(
        rng,
        customers=parameters.customers,
        items=parameters.items,
        start_us=parameters.start_us,
        until_us=parameters.until_us,
    )
    simulation = Simulation(
        world,
        rng,
        start_us=parameters.start_us,
        until_us=parameters.until_us,
        run=f"shop-{parameters.fingerprint}",
        listings=Listings.of(parameters.seed, world.items, parameters.until_us),
    )
    staging = _staging(settings)
    events = 0
    for day, held_events in _by_day(simulation.days(), on_day):
        name = f"import-shop-{parameters.fingerprint}_{events + 1}_{events + len(held_events)}"
        history.write_day_file(staging, day, f"{name}.parquet", history.table_of(held_events))
        events += len(held_events)
    for path in history.files(staging):
        target = settings.history / path.relative_to(staging)
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)
    shutil.rmtree(staging, ignore_errors=True)
    shop = truth.Shop(fingerprint=parameters.fingerprint, events=events, **asdict(parameters))
    truth.save(settings.truth, shop, world, simulation.lives)
    return shop


def remove_leftovers(settings: Settings) -> None:
    """Remove the history of every simulated shop, and what an unfinished run had prepared."""
    shutil.rmtree(_staging(settings), ignore_errors=True)
    for path in settings.history.glob("day=*/import-shop-*.parquet"):
        path.unlink()
        if not any(path.parent.iterdir()):
            path.parent.rmdir()


def _staging(settings: Settings) -> Path:
    return settings.home / "staging" / "shop"


def _by_day(
    chunks: Iterator[list[Event]], on_day: Callable[[int], None]
) -> Iterator[tuple[str, list[Event]]]:
    """The events of each calendar day (UTC), from chunks of 24 hours in time order."""
    day, held = "", list[Event]()
    for chunk in chunks:
        on_day(len(chunk))
        for event in chunk:
            if (found := history.day_of(event)) != day:
                if held:
                    yield day, held
                day, held = found, []
            held.append(event)
    if held:
        yield day, held
