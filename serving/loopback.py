"""Keeps Ray Serve's gRPC proxy on the address that was chosen.

Ray 2.60 binds gRPC to every interface and has no option for it (`serve/_private/grpc_util.py`).
`bind_grpc_to_host` runs in each Ray worker before its work, as the job's setup hook, and
narrows that one call. A test checks who listens where, so a Ray that changes this is noticed.
"""

from __future__ import annotations

import os
from typing import Any

HOST_VARIABLE = "NEARLINE_HOST"


def bind_grpc_to_host() -> None:
    """Let the proxy of this process listen on NEARLINE_HOST (loopback by default) alone."""
    from ray.serve._private import default_impl

    patched: Any = default_impl
    host = os.environ.get(HOST_VARIABLE) or "127.0.0.1"

    def add_grpc_address(server: Any, address: str) -> None:
        server.add_insecure_port(address.replace("[::]", host))

    patched.add_grpc_address = add_grpc_address
