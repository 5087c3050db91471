"""`nearline backfill` where nothing runs: it brings the embedded store up, and down again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import redis

from nearline.contracts.event import Event, Line, Purpose
from nearline.embedded.valkey import EmbeddedValkey, free_port, port_is_free
from nearline.feast_layout import CUSTOMER_VIEW
from nearline.history import table_of, write_day_file


def backfill(home: Path, port: int) -> subprocess.CompletedProcess[str]:
    """The command, where nothing runs."""
    environ = {
        "NEARLINE_HOME": str(home),
        "NEARLINE_REDIS_PORT": str(port),
        "NEARLINE_LANG": "en",
    }
    return subprocess.run(
        [sys.executable, "-m", "nearline", "backfill"],
        env={**os.environ, **environ},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.redis
def test_a_backfill_of_nothing_says_how_to_bring_something(tmp_path: Path) -> None:
    done = backfill(tmp_path, free_port())

    assert done.returncode == 0, done.stderr
    assert "0 events became" in done.stdout
    assert f"{tmp_path / 'history'} holds no events yet: `nearline import`" in done.stderr


@pytest.mark.redis
def test_a_backfill_needs_no_running_store_and_leaves_none(tmp_path: Path) -> None:
    event = Event(
        event_id="1",
        type="track",
        name="purchase",
        customer_id="ada",
        occurred_at_us=1_760_011_200_000_000,
        known_at_us=1_760_011_200_000_000,
        source="test",
        lines=(Line("lamp"),),
        consent=(Purpose.PERSONALIZATION,),
    )
    write_day_file(
        tmp_path / "history", "2025-10-09", "import-test-0_0_0.parquet", table_of([event])
    )
    port = free_port()

    done = backfill(tmp_path, port)

    assert done.returncode == 0, done.stderr
    assert "1 events became 1 customers and 1 items" in done.stdout
    assert port_is_free("127.0.0.1", port)

    with EmbeddedValkey(tmp_path / "valkey", port) as server:
        client = redis.Redis.from_url(server.url)
        assert client.hexists(CUSTOMER_VIEW.key("ada"), CUSTOMER_VIEW.fields["purchases_total"])
        client.close()
