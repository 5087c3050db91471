"""The Ray Serve graph: replicas that each answer by themselves, and a watcher of the registry.

An answer needs features, candidates, ranks and rules; as they share one process, it costs no
hop. Deployments are doors: what is behind them knows nothing of Ray.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from ray import serve

from nearline import logs, settings, tracing
from nearline.clock import SystemClock
from serving.config import ServingConfig
from serving.grpc_api import MAX_WATCHERS, GrpcApi
from serving.http_api import build
from serving.replica import Replica
from serving.watcher import Watcher

# The replica refuses by itself what it cannot answer in time, with a problem that says so; Serve
# would only come first with a bare text. Who watches health has places beside those of answers.
_NEVER_REACHED = 2_000 + MAX_WATCHERS
_ARTIFACT_LIMIT_S = 120  # Nobody waits for the watcher, which tells what answers meanwhile.


@serve.deployment(
    name="BundleWatch",
    ray_actor_options={"num_cpus": 0.1},
    graceful_shutdown_wait_loop_s=0.2,
    graceful_shutdown_timeout_s=4.0,
)
class BundleWatchDeployment:
    """Follows both aliases. A process of its own, since MLflow is large and not quick."""

    def __init__(self, config: ServingConfig) -> None:
        from nearline import registry

        _log("watch", config)
        registry.give_up_soon(_ARTIFACT_LIMIT_S)
        watcher = Watcher(
            config.bundles,
            resolve=lambda alias: registry.resolve(config.mlflow_uri, alias),
            fetch=lambda version: registry.download(config.mlflow_uri, version, config.bundles),
            clock=SystemClock(),
        )
        # Serve runs constructors inside the loop that serves.
        self._task = asyncio.get_running_loop().create_task(watcher.run(config.watch_every_s))


@serve.deployment(
    name="Gateway",
    ray_actor_options={"num_cpus": 0.3},
    max_ongoing_requests=_NEVER_REACHED,
    # Answers take milliseconds; only a Watch on health would hold a stop up for longer.
    graceful_shutdown_wait_loop_s=0.2,
    graceful_shutdown_timeout_s=4.0,
    health_check_period_s=2.0,
    health_check_timeout_s=5.0,
)
@serve.ingress()
class Gateway:
    """The one ingress: FastAPI over HTTP, and methods named as in the proto over gRPC."""

    async def __init__(self, config: ServingConfig, watch: Any) -> None:  # type: ignore[misc]
        self._watch = watch  # Named, so that Serve runs it; they meet in a file.
        _log("serve", config)
        tracing.start("serve", config.traces, config.trace_share)
        self._replica = Replica(config)
        self._grpc = GrpcApi(self._replica.answers)
        await self._replica.start()

    def __serve_build_asgi_app__(self) -> Any:
        app = build(self._replica.answers, self._replica.health, self._replica.metrics)
        app.openapi()  # Slow once; not for the first caller.
        return app

    # gRPC: the names are those of the proto.

    async def Recommend(self, frame: bytes, grpc_context: Any) -> Any:
        return await self._grpc.recommend(frame, grpc_context)

    async def Churn(self, frame: bytes, grpc_context: Any) -> Any:
        return await self._grpc.churn(frame, grpc_context)

    async def Tags(self, frame: bytes, grpc_context: Any) -> Any:
        return await self._grpc.tags(frame, grpc_context)

    async def Scores(self, frame: bytes, grpc_context: Any) -> Any:
        return await self._grpc.scores(frame, grpc_context)

    async def ScoresBatch(self, frame: bytes, grpc_context: Any) -> Any:
        return await self._grpc.scores_batch(frame, grpc_context)

    async def Check(self, frame: bytes, grpc_context: Any) -> Any:
        return self._grpc.check(frame, grpc_context)

    async def Watch(self, frame: bytes, grpc_context: Any) -> AsyncIterator[Any]:
        async with contextlib.aclosing(self._grpc.watch(frame, grpc_context)) as statuses:
            async for status in statuses:
                yield status

    async def __del__(self) -> None:
        # Serve awaits this before it stops a replica.
        with contextlib.suppress(Exception):
            await self._replica.close()


def _log(part: str, config: ServingConfig) -> None:
    # Ray keeps what a worker prints with its session, which ends with the service.
    if config.logs is not None:
        logs.start(part, config.logs)


def graph(config: ServingConfig) -> serve.Application:
    """The application, ready for `serve.run`."""
    watch = _node(BundleWatchDeployment, config)
    gateway: Any = Gateway  # A Deployment by now; see `_node`.
    return _node(gateway.options(num_replicas=config.replicas), config, watch)


def from_environment(_arguments: dict[str, str]) -> serve.Application:
    """The application with the settings of its environment; `infra/serve.yaml` names this."""
    return graph(ServingConfig.of(settings.load()))


def _node(deployment: Any, *arguments: Any) -> serve.Application:
    # Serve's decorators replace a class by a Deployment, which type checkers cannot see.
    node: serve.Application = deployment.bind(*arguments)
    return node
