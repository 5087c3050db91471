"""What GET /healthz makes of what the watcher knows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from serving.health import Health
from serving.watch import WatchState

WELL = WatchState(active="7", looked=True)


def status(watched: WatchState, *, redis: bool = True, items: bool = True) -> str:
    return Health.of(watched, redis=redis, items=items, exposures_waiting=0).status


def test_it_starts_until_the_registry_was_asked_and_then_it_is_well() -> None:
    assert status(WatchState()) == "starting"
    assert status(WELL) == "ok"


@pytest.mark.parametrize(
    ("watched", "redis", "items"),
    [
        (replace(WELL, active=""), True, True),
        (replace(WELL, registry=False), True, True),
        (replace(WELL, refused="bundle 8: it is odd"), True, True),
        (WELL, False, True),
        (WELL, True, False),
    ],
    ids=["no bundle", "no registry", "a refused champion", "no Redis", "no items"],
)
def test_what_is_missing_or_refused_degrades_it(
    watched: WatchState, redis: bool, items: bool
) -> None:
    assert status(watched, redis=redis, items=items) == "degraded"


def test_a_refused_challenger_is_told_and_degrades_nothing() -> None:
    refused = replace(WELL, challenger_refused="bundle 9: it is odd")

    health = Health.of(refused, redis=True, items=True, exposures_waiting=3)

    assert (health.status, health.challenger_refused) == ("ok", "bundle 9: it is odd")
    assert health.exposures_waiting == 3


def test_a_registry_that_is_down_hides_no_reason() -> None:
    health = Health.of(
        replace(WELL, registry=False, refused="bundle 8: it is odd"),
        redis=True,
        items=True,
        exposures_waiting=0,
    )

    assert (health.bundle, health.bundle_refused) == ("7", "bundle 8: it is odd")
    assert not health.registry
