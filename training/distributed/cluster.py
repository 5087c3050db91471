"""Connecting to a Ray cluster for the length of a block."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from nearline.errors import PermanentError, TransientError
from nearline.own_ray import keep_to_loopback

LOCAL = "local"  # A cluster of this machine's own, started here and stopped after.


class NoCluster(TransientError):
    """No Ray cluster answers at the address, or it does not let us in."""

    def __init__(self, address: str, cause: str) -> None:
        self.address, self.cause = address, cause
        told = (
            "it asks for a token: set RAY_AUTH_MODE=token, with the cluster's token in "
            "~/.ray/auth_token or RAY_AUTH_TOKEN. If it is not yours, name"
            if cause == "AuthenticationError"
            else "start one with `ray start --head`, name"
        )
        super().__init__(
            f"no Ray cluster answers at {address!r} ({cause}): {told} another with --ray, or "
            f"`--ray {LOCAL}` to start one here for this run."
        )


def checked(address: str) -> str:
    """An address that training can use, as it is; raises PermanentError for that of a client.

    Ray Data and Ray Train run in a process of the cluster; through `ray://` (Ray 2.60) the first
    ends with an AttributeError.
    """
    if address.startswith("ray://"):
        raise PermanentError(
            f"{address!r} is the address of a Ray client, through which neither features can be "
            "built nor an encoder taught. Run this on a machine of the cluster (with KubeRay, its "
            "head pod) with `--ray auto`, or with the host:port that `ray start` told it."
        )
    return address


@contextmanager
def connected(address: str, cpus: int | None = None) -> Iterator[int]:
    """Connect, give how many CPUs there are, and disconnect; raises NoCluster.

    `address` is `auto`, `host:port` or `local`: see `checked`. `cpus` is for `local`, which listens
    on loopback alone.
    """
    checked(address)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if address == LOCAL:
        keep_to_loopback()
    import ray

    try:
        if address == LOCAL:
            ray.init(address=LOCAL, num_cpus=cpus, include_dashboard=False, log_to_driver=False)
        else:
            ray.init(address=address, log_to_driver=False)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise NoCluster(address, _cause(error)) from error
    try:
        resources: Any = ray.cluster_resources()  # type: ignore[no-untyped-call]
        yield int(resources.get("CPU", 1))
    finally:
        ray.shutdown()


def _cause(error: BaseException) -> str:
    """The name of an error, or of a refusal to let us in somewhere below it."""
    below: BaseException | None = error
    while below is not None:
        if type(below).__name__ == "AuthenticationError" or "AuthenticationError" in str(below):
            return "AuthenticationError"
        below = below.__cause__ or below.__context__
    return type(error).__name__
