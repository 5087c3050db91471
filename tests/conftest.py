"""Real parts for tests: an embedded Valkey for the session, emptied for each test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from nearline.embedded.valkey import EmbeddedValkey, free_port

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
