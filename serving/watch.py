"""Follows the champion: resolve, fetch, prepare everywhere, then let it answer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from nearline.contracts.bundle import BundleRefused
from nearline.errors import TransientError

RETRY_REFUSED_S = 60.0
REGISTRY_DOWN = "the registry does not answer"

logger = logging.getLogger(__name__)


class Stage(Protocol):
    """A stage that holds bundles: the class below, or a handle to all its replicas."""

    async def prepare(self, version: str, folder: str) -> str:
        """Make a version resident; return why it is refused, or nothing."""

    async def activate(self, version: str) -> None:
        """Let a resident version answer."""


@dataclass(frozen=True, slots=True)
class WatchState:
    """What the watcher knows. `refused` is a reason, empty when all is well."""

    active: str = ""
    looked: bool = False
    refused: str = ""


class BundleWatch:
    """One look at a time. Stages are given in the order in which they are switched.

    Every stage holds the new version before any switches, so a request that starts with it
    finds it everywhere; requests under way finish with the old one, which stays resident.
    """

    def __init__(
        self,
        stages: Sequence[Stage],
        resolve: Callable[[], str | None],
        fetch: Callable[[str], Path],
        clock_s: Callable[[], float],
    ) -> None:
        self._stages, self._resolve, self._fetch, self._clock_s = stages, resolve, fetch, clock_s
        self._refused_version, self._refused_at_s = "", 0.0
        self._folder = ""  # of the active version
        self.state = WatchState()

    async def look(self) -> WatchState:
        """Follow the alias once, and repeat what a restarted replica may have missed.

        `resolve` and `fetch` block, so they run in a thread. A registry that is down and a
        bundle that is refused leave everything as it is.
        """
        try:
            wanted = await asyncio.to_thread(self._resolve)
            if wanted is not None and not self._resting(wanted) and wanted != self.state.active:
                await self._follow(wanted, str(await asyncio.to_thread(self._fetch, wanted)))
        except BundleRefused as error:
            self._refuse(error.bundle, error.why)
        except TransientError as error:
            logger.warning("the registry did not answer: %s", type(error).__name__)
            self.state = replace(self.state, looked=True, refused=REGISTRY_DOWN)
        else:
            refused = "" if self.state.refused == REGISTRY_DOWN else self.state.refused
            self.state = replace(self.state, looked=True, refused=refused)
        if self.state.active:
            try:
                await self._follow(self.state.active, self._folder)
            except BundleRefused as error:
                # A replica that restarted cannot load our copy: the next look fetches it again.
                logger.warning("bundle %s cannot be repeated: %s", error.bundle, error.why)
                self.state = WatchState("", True, f"bundle {error.bundle}: {error.why}")
        return self.state

    async def _follow(self, version: str, folder: str) -> None:
        for stage in self._stages:
            if why := await stage.prepare(version, folder):
                raise BundleRefused(version, why)
        for stage in self._stages:
            await stage.activate(version)
        if version != self.state.active:
            logger.info("bundle %s answers now", version)
            self._refused_version, self._folder = "", folder
            self.state = WatchState(version, True, "")

    def _refuse(self, version: str, why: str) -> None:
        logger.warning("bundle %s is refused: %s", version, why)
        self._refused_version, self._refused_at_s = version, self._clock_s()
        self.state = WatchState(self.state.active, True, f"bundle {version}: {why}")

    def _resting(self, version: str) -> bool:
        recent = self._clock_s() - self._refused_at_s < RETRY_REFUSED_S
        return version == self._refused_version and recent
