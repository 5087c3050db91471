"""Train equals serve, bit for bit; run with -s to see the figure."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest
import redis

from nearline.settings import Settings

pytestmark = [pytest.mark.redis, pytest.mark.slow]


def test_online_vectors_equal_offline_vectors_for_1000_sampled_pairs(settings: Settings) -> None:
    from feature_repo.parity import measure

    found = measure(settings, pairs=1_000)

    click.echo(f"\n{found.summary()}")
    assert (found.customer_pairs, found.item_pairs) == (1_000, 1_000)
    assert found.known_pairs > 1_800, "pairs of strangers prove nothing"
    assert found.mismatches == 0
    assert found.feast_mismatches == 0


def test_the_measurement_sees_events_that_history_lacks(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from feature_repo import parity

    def archive_three_of_four(client: redis.Redis, history: Path) -> None:
        monkeypatch.setattr(parity, "PARTITIONS", 3)
        whole(client, history)

    whole: Any = parity.archive
    monkeypatch.setattr(parity, "archive", archive_three_of_four)

    found = parity.measure(settings, pairs=40, events=400)

    assert found.mismatches > 5
    assert found.feast_mismatches == found.mismatches
    assert not found.holds
