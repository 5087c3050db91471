"""What happens in each Ray worker before its work: the job's setup hook.

Two things that Ray 2.60 has no option for. Its gRPC proxy binds to every interface
(`serve/_private/grpc_util.py`); and it imports pandas wherever it finds it, as XGBoost does
with scikit-learn: 1 to 3 s of CPU and 30 to 80 MB in each of seven processes (measured) for
nothing. Tests check who listens where and what is loaded, so a Ray that changes is noticed.
"""

from __future__ import annotations

import os
import sys
from typing import Any

HOST_VARIABLE = "NEARLINE_HOST"
# Serving takes models only as bundles: what belongs to training cannot even be imported.
FORBIDDEN = ("pandas", "sklearn", "torch", "feast")


def set_up() -> None:
    """Make this process lean, and keep gRPC on NEARLINE_HOST (loopback by default)."""
    stay_lean()
    bind_grpc_to_host()


def stay_lean() -> None:
    """Make imports of `FORBIDDEN` fail as if they were not installed; no effect once imported."""
    modules: dict[str, Any] = sys.modules  # None means: this import fails.
    for name in FORBIDDEN:
        modules.setdefault(name, None)


def bind_grpc_to_host() -> None:
    """Let a gRPC proxy of this process listen on one address alone."""
    from ray.serve._private import default_impl

    host = os.environ.get(HOST_VARIABLE) or "127.0.0.1"

    def add_grpc_address(server: Any, address: str) -> None:
        server.add_insecure_port(address.replace("[::]", host))

    patched: Any = default_impl
    patched.add_grpc_address = add_grpc_address
