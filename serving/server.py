"""Ray and Serve of one machine: started together, stopped without a trace."""

from __future__ import annotations

import contextlib
import importlib
import io
import logging
import os
import secrets
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import psutil

from nearline.clock import SystemClock
from nearline.embedded.valkey import port_is_free
from nearline.errors import PermanentError, TransientError
from nearline.own_ray import keep_to_loopback
from nearline.settings import LOOPBACK, Settings
from serving.config import ServingConfig
from serving.ingress import environment

READY_LIMIT_S = 180.0
OBJECT_STORE_BYTES = 80 * 1024 * 1024  # Requests travel inline; Ray's least allowed is 75 MB.
_STOP_LIMIT_S = 10.0
_PROXY_PORTS = 4
_REPLICA_PORTS = 50  # For each door. A port rests for a while after its replica has ended.
_FIRST_PORT, _LAST_PORT = 20_000, 26_000  # Above them lie those of `free_port`.
_SESSION, _MARKER = "nl-ray-", "NEARLINE_RAY_SESSION"


@contextlib.contextmanager
def running(
    settings: Settings,
    config: ServingConfig | None = None,
    app: Callable[[ServingConfig], Any] | None = None,
) -> Iterator[None]:
    """Serve on the settings' ports while the block runs; yields once answers are there.

    Each replica has loaded a bundle by then if the registry has a champion, unless that takes more
    than a minute. `app` makes another Serve application than `serving.app.graph`; it must answer
    /healthz. Raises PermanentError when a port is taken. Leaving stops every process that was
    started here.
    """
    _check_ports(settings)
    chosen = config or ServingConfig.of(settings)
    # Unix sockets need a short path, so Ray's session cannot lie in the home folder.
    _sweep_sessions()
    chosen = replace(chosen, started_us=SystemClock().now_us())  # After the last word of those.
    session = Path(tempfile.mkdtemp(prefix=f"{_SESSION}{os.getpid()}-"))
    shared = session / "metrics"
    shared.mkdir()
    ingress = environment(
        settings.host,
        session,
        ports=_ports(),
        metrics=shared,
    )
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # Nothing leaves this machine unasked.
    keep_to_loopback()
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_DEDUP_LOGS", "0")
    # What Ray's servers go by; not this process' own metrics, which are no replica's.
    os.environ.update({name: one for name, one in ingress.items() if name.startswith("RAY_")})
    import ray

    # Ray's servers take seconds to start; the graph is imported meanwhile.
    meanwhile = threading.Thread(target=importlib.import_module, args=("serving.app",))
    meanwhile.start()
    log = settings.logs / "serve"
    log.mkdir(parents=True, exist_ok=True)
    logging_config = {
        "logs_dir": str(log),
        "log_level": "WARNING",
        "enable_access_log": False,
        "encoding": "JSON",
    }
    # Every process that Ray starts inherits this, so that none can be lost.
    os.environ[_MARKER] = str(session)
    try:
        ray.init(
            address="local",
            num_cpus=max(2, chosen.replicas),  # What deployments reserve adds up to less.
            num_gpus=0,
            include_dashboard=False,
            log_to_driver=False,
            logging_level=logging.ERROR,
            object_store_memory=OBJECT_STORE_BYTES,
            _temp_dir=str(session),
            runtime_env={
                "worker_process_setup_hook": "serving.workers.set_up",
                "env_vars": dict(ingress),
            },
        )
        meanwhile.join()
        from ray import serve
        from ray.serve.config import HTTPOptions, gRPCOptions

        from serving.app import graph

        logging.getLogger("ray.serve").setLevel(logging.ERROR)  # Its import makes it talkative.
        serve.start(
            proxy_location="HeadOnly",
            http_options=HTTPOptions(host=LOOPBACK, port=settings.api_http_port),
            grpc_options=gRPCOptions(
                port=settings.api_grpc_port,
                grpc_servicer_functions=["serving.grpc_api.add_to_server"],
            ),
            logging_config=logging_config,
        )
        serve.run(
            (app or graph)(chosen),
            name="nearline",
            logging_config=logging_config,
        )
        _await_ready(settings)
        yield
    finally:
        os.environ.pop(_MARKER, None)
        _stop(session)


def _sweep_sessions() -> None:
    """End what runs that were killed (-9) have left: two of Ray's agents, and files."""
    for left in Path(tempfile.gettempdir()).glob(f"{_SESSION}*"):
        pid = left.name.removeprefix(_SESSION).partition("-")[0]
        if pid.isdigit() and not psutil.pid_exists(int(pid)):
            _end(_marked(left), grace_s=0.0)
            shutil.rmtree(left, ignore_errors=True)


def _check_ports(settings: Settings) -> None:
    for name in ("api_http_port", "api_grpc_port"):
        port = getattr(settings, name)
        if not port_is_free(settings.host, port):
            raise PermanentError(
                f"port {port} on {settings.host} is taken, and serving needs it. Stop what uses "
                f"it, or choose another: NEARLINE_{name.upper()}={port + 100}"
            )


def _ports() -> range:
    """Ports that nobody uses, below those that the kernel gives away before we bind them."""
    size = _PROXY_PORTS + 2 * _REPLICA_PORTS
    starts = list(range(_FIRST_PORT, _LAST_PORT - size, size))
    secrets.SystemRandom().shuffle(starts)  # Two services may start at the same moment.
    for first in starts:
        ports = range(first, first + size)
        if all(port_is_free(LOOPBACK, port) for port in ports):
            return ports
    raise PermanentError(
        f"no {size} ports in a row are free on {LOOPBACK} between {_FIRST_PORT} and {_LAST_PORT}, "
        "and serving needs them for its parts. Stop services that nobody needs."
    )


def _await_ready(settings: Settings) -> None:
    """Wait until HAProxy has a replica that is ready; each has waited for that by itself."""
    deadline = time.monotonic() + READY_LIMIT_S
    url = f"http://{settings.host}:{settings.api_http_port}/healthz"
    while time.monotonic() < deadline:
        with contextlib.suppress(httpx.HTTPError):
            if httpx.get(url, timeout=5.0).status_code == 200:
                return
        time.sleep(0.1)
    raise TransientError(
        f"serving did not become ready within {READY_LIMIT_S:.0f} s. Read {settings.logs / 'serve'}"
    )


def _stop(session: Path) -> None:
    import ray

    if ray.is_initialized():
        # Serve stops its controller by killing it, and Ray prints that as if it were a fault.
        with contextlib.redirect_stdout(io.StringIO()):
            with contextlib.suppress(Exception):
                from ray import serve

                serve.shutdown()  # type: ignore[no-untyped-call]
            ray.shutdown()
    _end(_marked(session), grace_s=_STOP_LIMIT_S)
    shutil.rmtree(session, ignore_errors=True)


def _marked(session: Path) -> list[psutil.Process]:
    """Live processes of a session, whoever their parent is."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        # What is gone meanwhile, or another user's, is not ours.
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.environ().get(_MARKER) == str(session):
                found.append(process)
    return found


def _end(processes: list[psutil.Process], grace_s: float) -> None:
    _, alive = psutil.wait_procs(processes, timeout=grace_s)
    for process in alive:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(alive, timeout=_STOP_LIMIT_S)
