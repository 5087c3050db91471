"""Feast, imported without its side effect; import this module before any other of Feast.

`import feast` points Prometheus at a new temporary folder by environment variables, so that
its own server's workers can share counts. That would put the metrics of our processes, and of
every process that they start, into multi-process mode.
"""

from __future__ import annotations

import importlib
import os

_VARIABLES = ("PROMETHEUS_MULTIPROC_DIR", "PROMETHEUS_MULTIPROCESS_DIR")


def _import_feast() -> None:
    before = {name: os.environ.get(name) for name in _VARIABLES}
    importlib.import_module("prometheus_client")  # It chooses its mode when it is imported.
    importlib.import_module("feast")
    for name, value in before.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


_import_feast()
