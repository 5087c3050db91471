"""The process that follows the registry, and tells the replicas by a file what should answer.

Opened by Ray's deployment (`serving.app`), or by a test.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from nearline.clock import Clock
from serving import desired
from serving.desired import Desired, Trial
from serving.watch import BundleWatch

_BEAT_S = 10.0
_BEATS_FOR_THE_FIRST = 4  # Replicas that start wait longer; the right bundle is worth as much.

logger = logging.getLogger(__name__)


class Watcher:
    """Looks again and again; `resolve` and `fetch` block, as those of `BundleWatch`."""

    def __init__(
        self,
        bundles: Path,
        resolve: Callable[[str], str | None],
        fetch: Callable[[str], Path],
        clock: Clock,
    ) -> None:
        self._bundles, self._clock, self._trial = bundles, clock, Trial()
        self._resolve, self._asking, self._has_told = resolve, False, False
        self._watch = BundleWatch([self._trial], self._ask, fetch, time.monotonic)

    async def run(self, every_s: float) -> None:
        """Begin with what answered before, then follow; until it is cancelled."""
        try:
            await self.adopt()
        except Exception as error:  # noqa: BLE001 - watching must go on; the log says why
            logger.warning("what answered before is left: %s", type(error).__name__)
        while True:
            await self.look()
            await asyncio.sleep(every_s)

    async def adopt(self) -> None:
        """Take up what answered before, if it is well, so that it answers while none is found."""
        before = await asyncio.to_thread(desired.read, self._bundles)
        champion, challenger = before.watched.active, before.watched.challenger
        if not await self._is_well(champion, before.champion_folder):
            return
        if not await self._is_well(challenger, before.challenger_folder):
            challenger = ""
        beside = self._trial.folder(challenger)
        self._watch.adopt(champion, before.champion_folder, challenger, beside)

    async def look(self) -> None:
        """Look once, and tell. While that takes long, tell what answers meanwhile.

        Fetching a bundle takes as long as the artifact store does, and replicas that start wait
        for a word.
        """
        looking, beats, well = asyncio.create_task(self._watch.look()), 0, True
        try:
            while not (await asyncio.wait([looking], timeout=_BEAT_S))[0]:
                beats += 1
                if self._has_told or beats >= _BEATS_FOR_THE_FIRST:
                    await self._tell(registry=not self._asking)
            await looking
        except Exception as error:  # noqa: BLE001 - watching must go on; the log says why
            logger.warning("following the registry failed: %s", type(error).__name__)
            well = False
        finally:
            looking.cancel()
        await self._tell(registry=well)

    def _ask(self, alias: str) -> str | None:
        self._asking = True
        try:
            return self._resolve(alias)
        finally:
            self._asking = False

    async def _is_well(self, version: str, folder: str) -> bool:
        return bool(version) and not await self._trial.prepare(version, folder)

    async def _tell(self, *, registry: bool) -> None:
        state = self._watch.state
        state = replace(state, looked=True, registry=state.registry and registry)
        found = Desired(
            self._trial.folder(state.active),
            self._trial.folder(state.challenger),
            state,
            self._clock.now_us(),
        )
        try:
            await asyncio.to_thread(desired.write, self._bundles, found)
            self._has_told = True
        except OSError as error:
            logger.warning("what was found cannot be written: %s", type(error).__name__)
