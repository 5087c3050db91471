"""Frequency caps counted in memory; tests/integration/serving/test_caps.py has the real store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from serving.caps import MemoryCaps
from tests.capping import CapsScenarios


class InMemory:
    @asynccontextmanager
    async def opened(self) -> AsyncIterator[MemoryCaps]:
        yield MemoryCaps()

    @asynccontextmanager
    async def down(self) -> AsyncIterator[MemoryCaps]:
        caps = MemoryCaps()
        caps.down = True
        yield caps


@pytest.fixture
def counted() -> InMemory:
    return InMemory()


class TestInMemory(CapsScenarios):
    """The whole suite."""
