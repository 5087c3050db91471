"""Real parts for tests: an embedded Valkey for the session, emptied for each test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import redis

from nearline.embedded.valkey import EmbeddedValkey, free_port

# On a machine that pauses, the time of one example says nothing. Examples are the same each time,
# so that no change is refused for what it did not touch; `make search` draws others.
_unhurried = hypothesis.settings(
    deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.register_profile("search", _unhurried)
hypothesis.settings.register_profile("gate", _unhurried, derandomize=True)
hypothesis.settings.load_profile("gate")

SHARED = Path(os.environ.get("NEARLINE_SHARED", Path(__file__).parents[2] / "shared"))


@pytest.fixture(scope="session")
def valkey_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedValkey]:
    with EmbeddedValkey(tmp_path_factory.mktemp("valkey"), free_port()) as server:
        yield server


@pytest.fixture
def valkey(valkey_server: EmbeddedValkey) -> Iterator[redis.Redis]:
    """An empty real server, durable as in production."""
    client = redis.Redis.from_url(valkey_server.url)
    client.flushall()
    yield client
    client.close()


@pytest.fixture
def shared() -> Path:
    """The folder of public data; skips where it is absent."""
    if not SHARED.is_dir():
        pytest.skip(f"no public data at {SHARED}: set NEARLINE_SHARED to its folder")
    return SHARED
