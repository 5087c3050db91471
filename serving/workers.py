"""What happens in each Ray worker before its work: the job's setup hook.

Four things that Ray 2.60 has no option for. Its gRPC servers and HAProxy's own pages bind to
every interface (`serve/_private/grpc_util.py`, `replica.py`, `haproxy_templates.py`), and HAProxy
where the replicas do, though it alone is for callers from outside. It imports
pandas wherever it finds it, as XGBoost does with scikit-learn: 1 to 3 s of CPU and 30 to 80 MB in
each of its processes (measured) for nothing. And where HAProxy dies, it starts the manager anew,
which takes 4 s and answers 404 until that knows the routes again (measured). Tests check who
listens where, what is loaded and how long the proxy is gone, so a Ray that changes is noticed.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from nearline.settings import LOOPBACK
from serving.ingress import HOST_VARIABLE, mended

# Serving takes models only as bundles: what belongs to training cannot even be imported.
FORBIDDEN = ("pandas", "sklearn", "torch", "feast")


def set_up() -> None:
    """Make this process lean, and keep its servers on loopback, but for HAProxy's doors."""
    stay_lean()
    keep_grpc_to_loopback()
    open_haproxys_doors()
    revive_haproxy()


def stay_lean() -> None:
    """Make imports of `FORBIDDEN` fail as if they were not installed; no effect once imported."""
    modules: dict[str, Any] = sys.modules  # None means: this import fails.
    for name in FORBIDDEN:
        modules.setdefault(name, None)


def keep_grpc_to_loopback() -> None:
    """Let this process' gRPC servers listen where Ray itself is: HAProxy asks on loopback.

    Also the server by which deployments call each other: it unpickles what it is sent, so whoever
    reaches it can run code.
    """
    from ray._common import network_utils
    from ray.serve._private import default_impl, replica

    def add_grpc_address(server: Any, address: str) -> None:
        server.add_insecure_port(address.replace("[::]", LOOPBACK))

    patched: Any = default_impl
    patched.add_grpc_address = add_grpc_address
    between: Any = replica
    network: Any = network_utils
    add_port = between.add_port_to_grpc_server

    def add_port_to_grpc_server(server: Any, address: str) -> int:
        if address == "[::]:0":
            address = network.build_address(network.get_localhost_ip(), 0)
        port: int = add_port(server, address)
        return port

    between.add_port_to_grpc_server = add_port_to_grpc_server


def open_haproxys_doors() -> None:
    """Let HAProxy, where this process configures it, be asked on NEARLINE_HOST."""
    from ray.serve._private import haproxy_templates

    host = os.environ.get(HOST_VARIABLE) or LOOPBACK
    patched: Any = haproxy_templates
    patched.HAPROXY_CONFIG_TEMPLATE = mended(patched.HAPROXY_CONFIG_TEMPLATE, host)


def revive_haproxy() -> None:
    """Let whoever looks after HAProxy start it again, as configured, as soon as it is gone."""
    from ray.serve._private import haproxy

    api: Any = haproxy.HAProxyApi
    looks = api.is_running

    async def revives(self: Any) -> bool:
        if await looks(self):
            return True  # Also while a new process takes over from one that ends.
        if self._proc is None or self._proc.returncode is None:
            return False
        try:
            self._proc = await self._start_and_wait_for_haproxy()
        except RuntimeError:
            return False  # Whatever stands in its way, Ray then starts all of it anew.
        return True

    api.is_running = revives
