"""Waiting, in an event loop, for what happens at its own time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


async def happens(holds: Callable[[], bool], limit_s: float = 30.0) -> None:
    """Return when something holds; raises TimeoutError where it does not within the limit."""
    async with asyncio.timeout(limit_s):
        while not holds():
            await asyncio.sleep(0.01)
