"""How questions reach the replicas: HAProxy in front, straight to each replica's own port.

Ray reads all of this from the environment, once, when its modules are first imported, in the
driver as in every process that it starts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nearline.settings import LOOPBACK
from serving.problems import problem

_NOBODY = problem(503, "unavailable", "Nobody answers right now; ask again soon.")
# What HAProxy refuses by itself. Of a head that is no HTTP, or of more than 15 KB, it answers 400
# before any of this is asked, with a page of HTML that 2.8 has built in.
_REFUSALS = (
    problem(400, "bad_request", "The request is no HTTP that can be read."),
    problem(408, "timeout", "The request did not arrive whole in time; ask again."),
    problem(500, "internal", "HAProxy failed here; its log says why."),
)
_DEFAULTS = "\ndefaults\n"
_HTTP_DOOR = "\nfrontend http_frontend\n"
# HAProxy asks another replica only what it holds whole; without this, one that is killed while
# eight callers ask costs some of them their answer (measured: 8 in 6 kills, with it 0).
_WHOLE_QUESTIONS = "    option http-buffer-request\n"
# Before it asks another replica HAProxy pauses for as long as connecting may take, or a second:
# of six kills each cost one answer 1,000 ms with Ray's 5 s, and 179 ms at most so. A replica that
# is only busy is connected to by the kernel.
_CONNECT_LIMIT_MS = 100
_RAYS_PAGE = "errorfile {status} {{{{ config.error_file_path }}}}"
# The two doors, over HTTP and gRPC; Ray would have them on the address of its replicas.
_DOORS = ("bind {{ config.frontend_host }}:", "bind {{ config.grpc_frontend_host }}:")
_ITS_OWN_PAGES = ("bind :{{", "bind *:{{")
HOST_VARIABLE = "NEARLINE_HOST"


def environment(
    host: str,
    folder: Path,
    *,
    ports: Sequence[int],
    metrics: Path,
) -> Mapping[str, str]:
    """Variables of Ray's processes for HAProxy and throughput mode.

    `folder` is for HAProxy's configuration and sockets, `metrics` for what the replicas share
    with Prometheus' library. `ports` are for what nobody calls by number, mostly the replicas:
    Ray's own numbers are the same for every service, and gRPC servers of two services can listen on
    one port, so that each would be asked for the other.

    A second asking doubles nothing but what a frequency cap counts (rather a message too few), so
    a replica that dies in the middle of a question costs the caller nothing: another is asked.
    """
    pages, statistics, fallback_http, fallback_grpc, *replicas = ports
    half = len(replicas) // 2
    over_http, over_grpc = replicas[:half], replicas[half:]
    return {
        HOST_VARIABLE: host,
        "OMP_NUM_THREADS": "1",
        "PROMETHEUS_MULTIPROC_DIR": str(metrics),
        # Ray makes its workers yield to everything else (15); answers must not wait for the rest.
        "RAY_worker_niceness": "0",
        "RAY_SERVE_ENABLE_HA_PROXY": "1",
        "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
        "RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S": "1",
        "RAY_SERVE_HAPROXY_NBTHREAD": "1",
        "RAY_SERVE_HAPROXY_RETRY_ON": "conn-failure empty-response response-timeout 502",
        "RAY_SERVE_HAPROXY_RETRIES": "3",
        # A replica that died is passed over at once, since it refuses connections; one that is
        # only busy must not be taken for dead, or nobody is left to answer (measured).
        "RAY_SERVE_HAPROXY_HEALTH_CHECK_INTER": "2s",
        "RAY_SERVE_HAPROXY_HEALTH_CHECK_FALL": "4",
        "RAY_SERVE_HAPROXY_TIMEOUT_SERVER_S": "10",
        # A proxy that died is missed after three looks; 30 s by default.
        "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "0.5",
        "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "2",
        "RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S": "5",
        "RAY_SERVE_HAPROXY_METRICS_PORT": str(pages),
        "RAY_SERVE_HAPROXY_STATS_PORT": str(statistics),
        "RAY_SERVE_DIRECT_INGRESS_MIN_HTTP_PORT": str(over_http[0]),
        "RAY_SERVE_DIRECT_INGRESS_MAX_HTTP_PORT": str(over_http[-1]),
        "RAY_SERVE_DIRECT_INGRESS_MIN_GRPC_PORT": str(over_grpc[0]),
        "RAY_SERVE_DIRECT_INGRESS_MAX_GRPC_PORT": str(over_grpc[-1]),
        "RAY_SERVE_FALLBACK_PROXY_HTTP_PORT": str(fallback_http),
        "RAY_SERVE_FALLBACK_PROXY_GRPC_PORT": str(fallback_grpc),
        "RAY_SERVE_HAPROXY_CONFIG_FILE_LOC": str(folder / "haproxy.cfg"),
        "RAY_SERVE_HAPROXY_SOCKET_PATH": str(folder / "admin.sock"),
        "RAY_SERVE_HAPROXY_SERVER_STATE_BASE": str(folder),
        "RAY_SERVE_HAPROXY_SERVER_STATE_FILE": str(folder / "server-state"),
        "RAY_SERVE_HAPROXY_METRICS_SOCKET_PATH": str(folder / "metrics.sock"),
    }


def mended(template: str, host: str) -> str:
    """HAProxy's configuration with its doors on `host`, and better words of its own.

    While it knows no route yet, or no replica that is well, it says that asking again helps: not
    that a path is unknown, nor 500, which Ray would make of each.
    """
    before, fallback, after = with_doors_on(template, host).partition("\nbackend default_backend\n")
    _, item, rest = after.partition("{%-")
    said = f"{_said(_NOBODY)} hdr Retry-After 1"
    answer = f"    http-request return status 503 {said}\n"
    for status in (502, 503, 504):
        before = before.replace(
            _RAYS_PAGE.format(status=status), f"http-error status {status} {said}"
        )
    refusals = [f"    http-error status {one['status']} {_said(one)}\n" for one in _REFUSALS]
    before = before.replace(_DEFAULTS, _DEFAULTS + "".join(refusals))
    before = re.sub(r"timeout connect .*?s\{%", f"timeout connect {_CONNECT_LIMIT_MS}ms{{%", before)
    before = before.replace(_HTTP_DOOR, _HTTP_DOOR + _WHOLE_QUESTIONS)
    return before + fallback + answer + item + rest


def _said(told: Mapping[str, Any]) -> str:
    return f"content-type application/problem+json string '{json.dumps(told)}'"


def with_doors_on(template: str, host: str) -> str:
    """The doors bind `host`; HAProxy's own pages, which nobody calls by number, loopback."""
    for door in _DOORS:
        template = template.replace(door, f"bind {host}:")
    for page in _ITS_OWN_PAGES:
        template = template.replace(page, f"bind {LOOPBACK}:{{{{")
    return template
