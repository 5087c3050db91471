"""A Ray of this machine's own, as serving and training start it."""

from __future__ import annotations

import os


def keep_to_loopback() -> None:
    """Let the Ray that this process starts listen on 127.0.0.1 alone; call before Ray is imported.

    No other machine joins it. It then knows itself as 127.0.0.1, and its own servers (GCS,
    raylet, workers, agents, metrics) listen there: whoever reaches one of them can run code.
    Ray's default off Linux; `_node_ip_address` would be resolved to an outside address again.
    """
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
