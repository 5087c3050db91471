"""The Ray Serve graph: gateway -> retrieval -> ranking, and churn; a watcher swaps bundles.

Composition root. Deployments are doors: each builds a plain class once and passes requests
through. Sizes fit two cores; `num_cpus` is what Ray reserves, not what a replica may use.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from ray import serve
from ray.serve.handle import DeploymentHandle

from nearline import settings
from nearline.clock import SystemClock
from nearline.contracts.bundle import BundleRefused
from nearline.errors import StoreUnavailable
from nearline.log import EventLog
from serving.answers import Answering, Patience
from serving.bundles import Part, Shelf
from serving.churn import Churn, ChurnRequest, ChurnScored
from serving.config import ServingConfig
from serving.exposures import Exposures
from serving.features import RedisFeatures, connect
from serving.grpc_api import GrpcApi
from serving.health import Health
from serving.http_api import build
from serving.metrics import MeasuredAnswers, Metrics
from serving.ranking import Ranked, Ranking, RankRequest
from serving.retrieval import Retrieval, RetrievalRequest, Retrieved
from serving.served_log import ServedLog, appending
from serving.watch import BundleWatch, WatchState

WATCH_HEALTH_S = 30.0
_STAGE_TIMEOUT_S = 2.0

logger = logging.getLogger(__name__)


def _door(name: str, num_cpus: float, at_once: int) -> Any:
    return serve.deployment(
        name=name,
        ray_actor_options={"num_cpus": num_cpus},
        max_ongoing_requests=at_once,
        # Answers take milliseconds; only a Watch on health would hold a stop up for longer.
        graceful_shutdown_wait_loop_s=0.2,
        graceful_shutdown_timeout_s=4.0,
    )


class HoldsBundles:
    """The calls by which the watcher moves a stage to other bundles."""

    def __init__(self, part: Part) -> None:
        self.shelf = Shelf((part,))

    async def prepare(self, version: str, folder: str) -> str:
        """Load aside, in a thread; return why it is refused, or nothing."""
        try:
            await asyncio.to_thread(self.shelf.prepare, version, Path(folder))
        except BundleRefused as refused:
            return refused.why
        return ""

    async def activate(self, version: str) -> None:
        self.shelf.activate(version)

    async def challenge(self, version: str) -> None:
        self.shelf.challenge(version)


@_door("Retrieval", num_cpus=0.3, at_once=64)
class RetrievalDeployment(HoldsBundles):
    """Features, encoder and index in one process: they share nothing worth a hop."""

    def __init__(self, config: ServingConfig) -> None:
        super().__init__(Part.FINDER)
        self._retrieval = Retrieval(_features(config), self.shelf)
        self._look_every_s = config.arrivals_every_s
        # Serve runs constructors inside the loop that serves.
        self._task = asyncio.get_running_loop().create_task(self._look_for_arrivals())
        _settle()

    async def retrieve(self, request: RetrievalRequest) -> Retrieved:
        return await self._retrieval.retrieve(request)

    async def _look_for_arrivals(self) -> None:
        while True:
            try:
                await self._retrieval.look_for_arrivals()
            except Exception as error:  # noqa: BLE001 - looking must go on; the log says why
                logger.warning("looking for new arrivals failed: %s", type(error).__name__)
            await asyncio.sleep(self._look_every_s)


@_door("Ranking", num_cpus=0.3, at_once=64)
class RankingDeployment(HoldsBundles):
    """Trees over assembled rows."""

    def __init__(self) -> None:
        super().__init__(Part.RANKER)
        self._ranking = Ranking(self.shelf)
        _settle()

    async def rank(self, request: RankRequest) -> Ranked:
        return await self._ranking.rank(request)


@_door("Churn", num_cpus=0.1, at_once=32)
class ChurnDeployment(HoldsBundles):
    """Churn scores with their reasons."""

    def __init__(self, config: ServingConfig) -> None:
        super().__init__(Part.CHURN)
        self._churn = Churn(_features(config), self.shelf)
        _settle()

    async def score(self, request: ChurnRequest) -> ChurnScored:
        return await self._churn.score(request)


@_door("BundleWatch", num_cpus=0.1, at_once=8)
class BundleWatchDeployment:
    """Follows both aliases. A process of its own, since MLflow is large and not quick."""

    def __init__(self, config: ServingConfig, *stages: DeploymentHandle[Any]) -> None:
        from nearline import registry

        self._config = config
        self._watch = BundleWatch(
            stages=[_Broadcast(stage) for stage in stages],
            resolve=lambda alias: registry.resolve(config.mlflow_uri, alias),
            fetch=lambda version: registry.download(config.mlflow_uri, version, config.bundles),
            clock_s=time.monotonic,
        )
        # Serve runs constructors inside the loop that serves.
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def state(self) -> WatchState:
        return self._watch.state

    async def _run(self) -> None:
        while True:
            try:
                await self._watch.look()
            except Exception as error:  # noqa: BLE001 - watching must go on; the log says why
                logger.warning("following the registry failed: %s", type(error).__name__)
            await asyncio.sleep(self._config.watch_every_s)


@_door("Gateway", num_cpus=0.3, at_once=128)
@serve.ingress()
class Gateway:
    """The one ingress: FastAPI over HTTP, and methods named as in the proto over gRPC."""

    def __init__(
        self,
        config: ServingConfig,
        retrieval: DeploymentHandle[Any],
        ranking: DeploymentHandle[Any],
        churn: DeploymentHandle[Any],
        watch: DeploymentHandle[Any],
    ) -> None:
        client = connect(config.redis_url)
        self._features = RedisFeatures(client, config.partitions, config.features_timeout_ms)
        self._exposures = Exposures(EventLog(client, config.partitions).append)
        self._watch = watch
        self._served = ServedLog(appending(client), config.served_sample)
        self._metrics = Metrics(self._exposures, self._served)
        self._answers = MeasuredAnswers(
            Answering(
                retrieval=_Retrieval(retrieval),
                ranking=_Ranking(ranking),
                churn=_Churn(churn),
                spare=Retrieval(self._features, Shelf()),
                features=self._features,
                exposures=self._exposures,
                served=self._served,
                patience=Patience(
                    config.retrieval_timeout_ms, config.ranking_timeout_ms, config.churn_timeout_ms
                ),
                clock=SystemClock(),
                entropy=os.urandom,
                challenger_share=config.challenger_share,
            ),
            self._metrics,
        )
        self._grpc = GrpcApi(self._answers)

    def __serve_build_asgi_app__(self) -> Any:
        app = build(self._answers, self._health, self._metrics)
        app.openapi()  # Slow once; not for the first caller.
        _settle()
        return app

    async def _health(self) -> Health:
        try:
            state: WatchState = await asyncio.wait_for(
                _result(self._watch.state.remote()), _STAGE_TIMEOUT_S
            )
        except Exception:  # noqa: BLE001 - the watcher may be anything but well
            state = WatchState(looked=True, refused="the watcher does not answer")
        try:
            await self._features.ping()
            redis_answers = True
        except StoreUnavailable:
            redis_answers = False
        return Health.of(state, redis=redis_answers, exposures_waiting=self._exposures.waiting)

    # gRPC: the names are those of the proto.

    async def Recommend(self, frame: bytes, grpc_context: Any) -> Any:
        return await self._grpc.recommend(frame, grpc_context)

    async def Churn(self, frame: bytes, grpc_context: Any) -> Any:
        return await self._grpc.churn(frame, grpc_context)

    async def Tags(self, frame: bytes, grpc_context: Any) -> Any:
        return await self._grpc.tags(frame, grpc_context)

    async def Check(self, frame: bytes, grpc_context: Any) -> Any:
        return self._grpc.check(frame, grpc_context)

    async def Watch(self, frame: bytes, grpc_context: Any) -> AsyncIterator[Any]:
        """The status at once, and again now and then, so that silence means trouble."""
        while True:
            yield self._grpc.watch(frame, grpc_context)
            if grpc_context.code():
                return
            await asyncio.sleep(WATCH_HEALTH_S)

    async def __del__(self) -> None:
        # Serve awaits this before it stops a replica.
        with contextlib.suppress(Exception):
            await self._exposures.close()
            await self._served.close()


class _Broadcast:
    """A stage as the watcher sees it: every replica at once."""

    def __init__(self, handle: DeploymentHandle[Any]) -> None:
        self._handle = handle

    async def prepare(self, version: str, folder: str) -> str:
        reasons = await self._handle.broadcast("prepare", version, folder).results_async()
        return next((why for why in reasons if why), "")

    async def activate(self, version: str) -> None:
        await self._handle.broadcast("activate", version).results_async()

    async def challenge(self, version: str) -> None:
        await self._handle.broadcast("challenge", version).results_async()


class _Retrieval:
    def __init__(self, handle: DeploymentHandle[Any]) -> None:
        self._handle = handle

    async def retrieve(self, request: RetrievalRequest) -> Retrieved:
        found: Retrieved = await self._handle.retrieve.remote(request)
        return found


class _Ranking:
    def __init__(self, handle: DeploymentHandle[Any]) -> None:
        self._handle = handle

    async def rank(self, request: RankRequest) -> Ranked:
        ranked: Ranked = await self._handle.rank.remote(request)
        return ranked


class _Churn:
    def __init__(self, handle: DeploymentHandle[Any]) -> None:
        self._handle = handle

    async def score(self, request: ChurnRequest) -> ChurnScored:
        scored: ChurnScored = await self._handle.score.remote(request)
        return scored


def graph(config: ServingConfig) -> serve.Application:
    """The application, ready for `serve.run`."""
    retrieval = _node(RetrievalDeployment, config)
    ranking = _node(RankingDeployment)
    churn = _node(ChurnDeployment, config)
    # Retrieval chooses the bundle of a request, so it is switched last.
    watch = _node(BundleWatchDeployment, config, ranking, churn, retrieval)
    return _node(Gateway, config, retrieval, ranking, churn, watch)


def from_environment(_arguments: dict[str, str]) -> serve.Application:
    """The application with the settings of its environment; `infra/serve.yaml` names this."""
    return graph(ServingConfig.of(settings.load()))


def _node(deployment: Any, *arguments: Any) -> serve.Application:
    # Serve's decorators replace a class by a Deployment, which type checkers cannot see.
    node: serve.Application = deployment.bind(*arguments)
    return node


def _features(config: ServingConfig) -> RedisFeatures:
    return RedisFeatures(connect(config.redis_url), config.partitions, config.features_timeout_ms)


def _settle() -> None:
    """What is loaded now lives long: a full collection would stop answers for 0.2 s."""
    gc.collect()
    gc.freeze()


async def _result(response: Any) -> Any:
    return await response
