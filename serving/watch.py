"""Follows champion and challenger: resolve, fetch, prepare everywhere, then let them answer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from nearline.contracts.bundle import CHALLENGER, CHAMPION, BundleRefused
from nearline.errors import TransientError

RETRY_REFUSED_S = 60.0

logger = logging.getLogger(__name__)


class Stage(Protocol):
    """A stage that holds bundles: the class below, or a handle to all its replicas."""

    async def prepare(self, version: str, folder: str) -> str:
        """Make a version resident; return why it is refused, or nothing."""

    async def activate(self, version: str) -> None:
        """Let a resident version answer as champion."""

    async def challenge(self, version: str) -> None:
        """Let a resident version answer as challenger; with "" none does."""


@dataclass(frozen=True, slots=True)
class WatchState:
    """What the watcher knows. `refused` are reasons, empty when all is well.

    `registry` says whether the registry answered when it was asked last.
    """

    active: str = ""
    looked: bool = False
    registry: bool = True
    refused: str = ""
    challenger: str = ""
    challenger_refused: str = ""


@dataclass
class _Followed:
    """What is known of one alias between two looks."""

    folder: str = ""  # of the version that answers
    refused_version: str = ""
    refused_why: str = ""
    refused_at_s: float = 0.0

    def refuse(self, error: BundleRefused, now_s: float) -> str:
        """Let a version rest; returns the reason as people read it."""
        self.refused_version, self.refused_at_s = error.bundle, now_s
        self.refused_why = _reason(error)
        return self.refused_why

    def rests(self, version: str, now_s: float) -> bool:
        return version == self.refused_version and now_s - self.refused_at_s < RETRY_REFUSED_S


class BundleWatch:
    """One look at a time. Stages are given in the order in which they are switched.

    Every stage holds the new version before any switches, so a request that starts with it
    finds it everywhere; requests under way finish with the old one, which stays resident.
    The champion comes first, and nothing that befalls the challenger touches it.
    """

    def __init__(
        self,
        stages: Sequence[Stage],
        resolve: Callable[[str], str | None],
        fetch: Callable[[str], Path],
        clock_s: Callable[[], float],
    ) -> None:
        self._stages, self._resolve, self._fetch, self._clock_s = stages, resolve, fetch, clock_s
        self._champion, self._challenger = _Followed(), _Followed()
        self.state = WatchState()

    def adopt(self, champion: str, folder: str, challenger: str = "", beside: str = "") -> None:
        """Begin with what answered before, and its folders, until the registry says otherwise."""
        self._champion, self._challenger = _Followed(folder), _Followed(beside)
        self.state = replace(self.state, active=champion, challenger=challenger)

    async def look(self) -> WatchState:
        """Follow both aliases once, and repeat what a restarted replica may have missed.

        `resolve` and `fetch` block, so they run in a thread. A registry that is down and a
        bundle that is refused leave everything as it is.
        """
        try:
            wanted = await asyncio.to_thread(self._resolve, CHAMPION)
            beside = await asyncio.to_thread(self._resolve, CHALLENGER)
        except TransientError as error:
            logger.warning("the registry did not answer: %s", type(error).__name__)
            self.state = replace(self.state, looked=True, registry=False)
            await self._repeat_champion()
            if self.state.challenger:  # Else there is nothing to repeat, and a reason to keep.
                await self._follow_challenger(self.state.challenger)
            return self.state
        await self._follow_champion(wanted)
        await self._repeat_champion()
        await self._follow_challenger(beside or "")
        return self.state

    async def _follow_champion(self, wanted: str | None) -> None:
        known, refused, registry = self._champion, "", True
        try:
            if wanted and known.rests(wanted, self._clock_s()):
                refused = known.refused_why
            elif wanted and wanted != self.state.active:
                await self._switch(wanted, str(await asyncio.to_thread(self._fetch, wanted)))
        except BundleRefused as error:
            logger.warning("bundle %s is refused: %s", error.bundle, error.why)
            refused = known.refuse(error, self._clock_s())
        except TransientError as error:
            logger.warning("the registry did not answer: %s", type(error).__name__)
            refused, registry = self.state.refused, False
        self.state = replace(self.state, looked=True, registry=registry, refused=refused)

    async def _repeat_champion(self) -> None:
        active = self.state.active
        if not active:
            return
        try:
            await self._switch(active, self._champion.folder)
        except BundleRefused as error:
            # A replica that restarted cannot load our copy: the next look fetches it again.
            logger.warning("bundle %s cannot be repeated: %s", error.bundle, error.why)
            self.state = replace(self.state, active="", refused=_reason(error))

    async def _switch(self, version: str, folder: str) -> None:
        await self._prepare(version, folder)
        for stage in self._stages:
            await stage.activate(version)
        if version != self.state.active:
            logger.info("bundle %s answers now", version)
            self._champion = _Followed(folder)
            beside = "" if self.state.challenger == version else self.state.challenger
            self.state = replace(self.state, active=version, refused="", challenger=beside)

    async def _follow_challenger(self, wanted: str) -> None:
        """Let a version answer beside the champion, or none; a fault is told and goes no further.

        A challenger needs a champion beside it, and one that is champion already is none.
        """
        known, state = self._challenger, self.state
        if wanted == state.active or not state.active:
            wanted = ""
        try:
            if not wanted:
                await self._challenge("", "")
                self.state = replace(state, challenger="", challenger_refused="")
            elif known.rests(wanted, self._clock_s()):
                await self._challenge("", "")  # Nor does another that answered meanwhile go on.
                self.state = replace(state, challenger="", challenger_refused=known.refused_why)
            else:
                folder = known.folder
                if wanted != state.challenger:
                    folder = str(await asyncio.to_thread(self._fetch, wanted))
                await self._challenge(wanted, folder)
                self.state = replace(state, challenger=wanted, challenger_refused="")
        except BundleRefused as error:
            logger.warning("challenger %s is refused: %s", error.bundle, error.why)
            await self._challenge("", "")
            why = known.refuse(error, self._clock_s())
            self.state = replace(state, challenger="", challenger_refused=why)
        except TransientError as error:
            logger.warning("the challenger was not fetched: %s", type(error).__name__)

    async def _challenge(self, version: str, folder: str) -> None:
        if version:
            await self._prepare(version, folder)
        elif not self._challenger.folder:
            return  # No stage has one.
        for stage in self._stages:
            await stage.challenge(version)
        self._challenger.folder = folder

    async def _prepare(self, version: str, folder: str) -> None:
        for stage in self._stages:
            if why := await stage.prepare(version, folder):
                raise BundleRefused(version, why)


def _reason(error: BundleRefused) -> str:
    return f"bundle {error.bundle}: {error.why}"
