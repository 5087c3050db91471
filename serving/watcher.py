"""The process that follows the registry, and tells the replicas by a file what should answer.

Opened by Ray's deployment (`serving.app`), or by a test.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from nearline.clock import Clock
from serving import desired
from serving.desired import Desired, Trial
from serving.watch import BundleWatch

_BEAT_S = 10.0
_BEATS_FOR_THE_FIRST = 5  # With nothing to answer with meanwhile, the first bundle is worth them.

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
        self._resolve, self._asking = resolve, False
        self._watch = BundleWatch([self._trial], self._ask, fetch, time.monotonic)

    async def run(self, every_s: float) -> None:
        """Begin with the champion of before, then follow; until it is cancelled."""
        await self._once(self.adopt)
        while True:
            await self._once(self.look)
            await asyncio.sleep(every_s)

    async def adopt(self) -> None:
        """Take up what answered before, if it is well, so that it answers while none is found."""
        before = await asyncio.to_thread(desired.read, self._bundles)
        champion = before.watched.active
        if champion and not await self._trial.prepare(champion, before.champion_folder):
            self._watch.adopt(champion, before.champion_folder)

    async def look(self) -> None:
        """Look once, and tell. While that takes long, tell what answers meanwhile.

        Fetching a bundle takes as long as the artifact store does, and replicas that start wait
        for a word.
        """
        looking, beats = asyncio.create_task(self._watch.look()), 0
        try:
            while not (await asyncio.wait([looking], timeout=_BEAT_S))[0]:
                beats += 1
                if self._watch.state.active or beats >= _BEATS_FOR_THE_FIRST:
                    await self._tell()
            await looking
        finally:
            looking.cancel()
        await self._tell()

    def _ask(self, alias: str) -> str | None:
        self._asking = True
        try:
            return self._resolve(alias)
        finally:
            self._asking = False

    async def _tell(self) -> None:
        state = self._watch.state
        state = replace(state, looked=True, registry=state.registry and not self._asking)
        found = Desired(
            self._trial.folder(state.active),
            self._trial.folder(state.challenger),
            state,
            self._clock.now_us(),
        )
        await asyncio.to_thread(desired.write, self._bundles, found)

    async def _once(self, step: Callable[[], Awaitable[None]]) -> None:
        try:
            await step()
        except Exception as error:  # noqa: BLE001 - watching must go on; the log says why
            logger.warning("following the registry failed: %s", type(error).__name__)
