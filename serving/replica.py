"""One process that answers: everything it holds, and what it does beside answering.

A composition root. Ray's deployment opens to this (`serving.app`); so can a test or a notebook.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import time
from collections.abc import Awaitable, Callable, Iterable

from nearline.clock import SystemClock
from nearline.errors import StoreUnavailable
from nearline.log import EventLog
from serving.answers import Answering, Held
from serving.bundles import Bundle, Shelf
from serving.caps import RedisCaps
from serving.config import ServingConfig
from serving.desired import Desired, Following, replace_file
from serving.exposures import Exposures
from serving.features import RedisFeatures, connect
from serving.follow import Follower, RedisItems
from serving.health import Health
from serving.items import ItemTable
from serving.keeping import POLICY, Keeper
from serving.metrics import MeasuredAnswers, Metrics
from serving.policy.folder import KEPT, opened
from serving.policy.model import canonical
from serving.score_reading import Scores
from serving.served_log import ServedLog, appending
from serving.stages import Stages
from serving.turns import Turns
from serving.watch import WatchState

_SILENT_WATCHER_US = 30_000_000
_READY_LIMIT_S = 60.0  # Then it answers with what is there.

logger = logging.getLogger(__name__)


class Replica:
    """Built once per process, inside its event loop; `start` before the first answer."""

    def __init__(self, config: ServingConfig) -> None:
        self._config, self._clock = config, SystemClock()
        client = connect(config.redis_url)
        self._features = RedisFeatures(client, config.partitions, config.features_timeout_ms)
        self._shelf = Shelf()
        self._follower = Follower(
            RedisItems(connect(config.redis_url), config.partitions), config.partitions, self._ids
        )
        self._following = Following(config.bundles, self._shelf, self._hold, time.monotonic)
        self._kept = config.bundles / KEPT
        self._policy = opened(config.policy, self._kept)
        self._keep_policy()
        self._keeper = Keeper()
        self._client = client
        self._exposures = Exposures(EventLog(client, config.partitions).append)
        self._served = ServedLog(appending(client), config.served_sample)
        turns = Turns(config.deadline_ms)
        self.metrics = Metrics(self._exposures, self._served, self._item_lag_ms)
        self.answers = MeasuredAnswers(
            Answering(
                held=Held(self._shelf, self._items, lambda: self._policy.policy),
                features=self._features,
                caps=RedisCaps(client, config.features_timeout_ms),
                scores=Scores(self._features, self._shelf, turns),
                exposures=self._exposures,
                served=self._served,
                turns=turns,
                keeper=self._keeper,
                clock=self._clock,
                entropy=os.urandom,
                deadline_ms=config.deadline_ms,
                challenger_share=config.challenger_share,
                stages=Stages(self.metrics.stage_took),
            ),
            self.metrics,
        )
        self._canonical: dict[str, bytes] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._followed = asyncio.Event()  # What the watcher of this service found, at least once.

    async def start(self) -> None:
        """Follow what there is; returns when answers are as good as they get.

        Of two replicas that start, one would else answer without the bundle that is there. What
        takes longer than the limit, such as a million items, goes on.
        """
        self._follow("bundles", self._follow_bundles, self._config.follow_every_s)
        await _at_most(self._followed)
        items = self._follow("the items", self._follower.step, self._config.items_every_s)
        await _at_most(items)
        self._follow("the policy", self._look_at_policy, self._config.follow_every_s)
        self._follow("what is kept", self._keep, 1.0)
        gc.collect()
        gc.freeze()  # What is loaded now lives long: collecting it would stop answers for 0.2 s.

    async def close(self) -> None:
        """Log what was shown, then stop following."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with contextlib.suppress(Exception):
            await asyncio.gather(self._exposures.close(), self._served.close())

    async def health(self) -> Health:
        """What this process has, and what the watcher last found."""
        desired = self._following.desired
        watched = desired.watched
        if not self._followed.is_set():
            watched = WatchState()
        elif self._watcher_is_silent(desired):
            watched = WatchState(
                active=watched.active, looked=True, refused="the watcher does not answer"
            )
        current, challenger = self._shelf.current, self._shelf.challenger
        refused = "; ".join(filter(None, (watched.refused, self._following.refused)))
        try:
            await self._features.ping()
            redis_answers = True
        except StoreUnavailable:
            redis_answers = False
        return Health.of(
            WatchState(
                active=current.version if current else "",
                looked=watched.looked,
                registry=watched.registry,
                refused=refused,
                challenger=challenger.version if challenger else "",
                challenger_refused=watched.challenger_refused,
            ),
            redis=redis_answers,
            items=self._follower.loaded,
            exposures_waiting=self._exposures.waiting,
            policy=self._policy.policy.version,
            policy_refused="; ".join(map(str, self._policy.errors)),
        )

    def _watcher_is_silent(self, found: Desired) -> bool:
        """Nobody looks at the file while a bundle is loaded."""
        silent_us = self._clock.now_us() - found.at_us
        return bool(found.at_us) and silent_us > _SILENT_WATCHER_US and not self._following.loading

    def _is_of_now(self, found: Desired) -> bool:
        """Whether the watcher of this service has found it, and not one of a service before."""
        if self._config.started_us:
            return found.at_us >= self._config.started_us
        # Nobody knows when a cluster's service began: that there is no bundle may be long past.
        recent = self._clock.now_us() - found.at_us <= _SILENT_WATCHER_US
        return bool(found.watched.active) or recent

    def _items(self) -> ItemTable | None:
        return self._follower.table if self._follower.loaded else None

    def _item_lag_ms(self) -> float:
        if not self._tasks:
            return 0.0
        return (asyncio.get_running_loop().time() - self._follower.looked_at_s) * 1_000

    def _ids(self) -> Iterable[str]:
        for version in self._shelf.versions:
            bundle = self._shelf.get(version)
            if bundle is not None and bundle.finder is not None:
                yield from bundle.finder.catalogue.index_of

    async def _hold(self, bundle: Bundle) -> None:
        """A bundle's items are in memory before it answers; if the store fails, a step later."""
        if bundle.finder is not None:
            with contextlib.suppress(StoreUnavailable):
                await self._follower.hold(bundle.finder.catalogue.index_of)

    async def _follow_bundles(self) -> None:
        found = await self._following.champion()
        if found.watched.looked and self._is_of_now(found):
            self._followed.set()
        await self._following.challenger()

    async def _look_at_policy(self) -> None:
        if await asyncio.to_thread(self._policy.look):  # A large file takes a second to check.
            self._keep_policy()
        self.metrics.refresh()

    def _keep_policy(self) -> None:
        """So that a replica that starts while the files are broken has the last good ones too."""
        if self._policy.errors:
            logger.warning("the policy files have %d mistakes", len(self._policy.errors))
            return
        with contextlib.suppress(OSError):
            replace_file(self._kept, canonical(self._policy.policy))

    async def _keep(self) -> None:
        """What answers are made of lies in the store as long as they may be made again."""
        policy = self._policy.policy
        if policy.version not in self._canonical:  # To encode it takes as long as some answers.
            self._canonical = {policy.version: canonical(policy)}
        self._keeper.keep(POLICY, self._canonical[policy.version], policy.version)
        await self._keeper.flush(self._client)

    def _follow(
        self, what: str, step: Callable[[], Awaitable[None]], every_s: float
    ) -> asyncio.Event:
        """Step again and again, from now on; what is returned is set after the first."""
        begun = asyncio.Event()

        async def again() -> None:
            while True:
                await self._once(what, step)
                begun.set()
                await asyncio.sleep(every_s)

        self._tasks.append(asyncio.create_task(again()))
        return begun

    async def _once(self, what: str, step: Callable[[], Awaitable[None]]) -> None:
        try:
            await step()
        except StoreUnavailable as error:
            logger.warning("%s could not be followed: %s", what, error.cause)
        except Exception as error:  # noqa: BLE001 - following must go on; the log says why
            logger.warning("following %s failed: %s", what, type(error).__name__)


async def _at_most(event: asyncio.Event) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_READY_LIMIT_S):
            await event.wait()
