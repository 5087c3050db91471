"""Connecting to a Ray cluster for the length of a block."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from nearline.errors import TransientError

LOCAL = "local"  # A cluster of this machine's own, started here and stopped after.


class NoCluster(TransientError):
    """No Ray cluster answers at the address."""

    def __init__(self, address: str, cause: str) -> None:
        self.address, self.cause = address, cause
        super().__init__(
            f"no Ray cluster answers at {address!r} ({cause}). Start one with `ray start --head`, "
            f"name another with --ray, or `--ray {LOCAL}` to start one here for this run."
        )


@contextmanager
def connected(address: str, cpus: int | None = None) -> Iterator[int]:
    """Connect, give how many CPUs there are, and disconnect; raises NoCluster.

    `address` is `auto`, `host:port`, `ray://host:10001` or `local`. `cpus` is for `local`.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    try:
        if address == LOCAL:
            ray.init(num_cpus=cpus, include_dashboard=False, log_to_driver=False)
        else:
            ray.init(address=address, log_to_driver=False)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise NoCluster(address, type(error).__name__) from error
    try:
        resources: Any = ray.cluster_resources()  # type: ignore[no-untyped-call]
        yield int(resources.get("CPU", 1))
    finally:
        ray.shutdown()
