"""A registered feature store on the session's Valkey; importing Feast takes seconds, once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import redis

from nearline.embedded.valkey import EmbeddedValkey
from nearline.settings import Settings


@pytest.fixture
def settings(tmp_path: Path, valkey: redis.Redis, valkey_server: EmbeddedValkey) -> Settings:
    """A fresh home on an empty store."""
    return Settings(home=tmp_path / "home", redis_url=valkey_server.url)


@pytest.fixture
def store(settings: Settings) -> Any:
    """Feast with every definition registered."""
    from feature_repo.retrieval import apply

    return apply(settings)
