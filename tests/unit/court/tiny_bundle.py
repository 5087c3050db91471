"""The tiny bundle of the serving tests, for others."""

from __future__ import annotations

import importlib.util
import sys
from functools import cache
from pathlib import Path
from types import ModuleType

_PATH = Path(__file__).parents[1] / "serving" / "tiny.py"


@cache
def tiny() -> ModuleType:
    """tests/unit/serving/tiny.py as a module: that folder is no package."""
    spec = importlib.util.spec_from_file_location("nearline_tests_tiny_bundle", _PATH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
