"""docs/settings.md, written from nearline/settings.py so that it cannot fall behind.

`make settings` writes the file anew.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields
from pathlib import Path

from nearline import settings
from nearline.settings import Settings

PAGE = Path(__file__).parents[2] / "docs" / "settings.md"
OUTSIDE = {
    "NEARLINE_LANG": ("the locale's", "Language of what people read: `en` or `zh`."),
    "MLFLOW_TRACKING_URI": (
        "`mlflow.db` in the home folder",
        "The model registry: MLflow's own variable, read by training and serving.",
    ),
    "NEARLINE_WRITE_KEY": (
        "one that it makes",
        "`nearline bench`: the write key of a collector elsewhere.",
    ),
    "NEARLINE_DATA": (
        "none",
        "`nearline reproduce`: the folder of public data that you have downloaded.",
    ),
    "NEARLINE_FEAST_REGISTRY": (
        "none",
        "`feature_store.yaml`: Feast's registry. `nearline features env` prints both for a shell.",
    ),
    "NEARLINE_FEAST_REDIS": ("none", "`feature_store.yaml`: Feast's online store."),
}
"""Variables that no field of the settings stands for: default and meaning of each."""
INTERNAL = ("NEARLINE_STACK", "NEARLINE_RAY_SESSION")
"""Set by Nearline for what it starts, to find it again: nobody else sets them."""
_HEAD = """\
# Settings

Written by `make settings` from `nearline/settings.py`; do not edit.

All settings are environment variables. One that is empty counts as not set; a value that makes no sense is refused with its name.
`nearline up` and `nearline demo` hand them on to every part that they start. Parts that you start one by one need the same:
`NEARLINE_HOME` and `NEARLINE_REDIS_URL` above all.

## Ports

`nearline up --any-port` (and `nearline demo`, `nearline bench --start`) chooses free ones instead and shows them; `top`, `doctor`,
`lists`, `scenes`, `bench`, `replay-answer`, `dead-letters`, `features get`, `features env`, `skew`, `replay`, `shop live` and
`collector --show-key` find them, and a demo's folder, by themselves. Everything binds `NEARLINE_HOST`, but for the
embedded Valkey, which has no password and stays on 127.0.0.1. Beside these, Ray and the replicas choose free ports on 127.0.0.1 that
nobody needs to know.

"""  # noqa: E501 - Markdown


def variable(name: str) -> str:
    """The environment variable of a field."""
    return f"NEARLINE_{name.upper()}"


def sentences() -> dict[str, str]:
    """What stands under each field of the settings, in their order; empty where nothing does."""
    (tree,) = ast.parse(inspect.getsource(Settings)).body
    assert isinstance(tree, ast.ClassDef)
    found: dict[str, str] = {}
    for node, after in zip(tree.body, [*tree.body[1:], None], strict=True):
        match node, after:
            case ast.AnnAssign(ast.Name(name)), ast.Expr(ast.Constant(str(sentence))):
                found[name] = sentence
            case ast.AnnAssign(ast.Name(name)), _:
                found[name] = ""
    return found


def render() -> str:
    """The whole page."""
    told = sentences()
    held = {item.name: item for item in fields(Settings)}
    ports = {name: item for name, item in held.items() if name.endswith("_port")}
    others = {name: item for name, item in held.items() if name not in ports}
    outside = [
        f"| `{name}` | {default} | {meaning} |" for name, (default, meaning) in OUTSIDE.items()
    ]
    return "\n".join(
        [
            _HEAD + _table("port", ports, told),
            "## All others\n",
            _table("default", others, told),
            "## Read elsewhere\n",
            "| variable | default | meaning |\n|---|---|---|\n" + "\n".join(outside) + "\n",
            f"{' and '.join(f'`{name}`' for name in INTERNAL)} are set by Nearline itself, to find "
            "again what it has started: leave them alone.\n",
        ]
    )


def _table(second: str, held: Mapping[str, Field[object]], told: Mapping[str, str]) -> str:
    rows = [
        f"| `{variable(name)}` | {_default(item)} | {_named(told[name])} |"
        for name, item in held.items()
    ]
    return f"| variable | {second} | meaning |\n|---|---|---|\n" + "\n".join(rows) + "\n"


def _default(item: Field[object]) -> str:
    if item.default is MISSING:
        return f"`{settings.Settings().home.name}` where the command runs"
    return f"`{item.default}`" if item.default != "" else "empty"


def _named(sentence: str) -> str:
    """Fields that a sentence names, by their variables."""
    names = {item.name for item in fields(Settings)}
    return re.sub(
        r"`(\w+)`",
        lambda found: f"`{variable(found[1])}`" if found[1] in names else found[0],
        sentence,
    )


if __name__ == "__main__":
    sys.exit(PAGE.write_text(render(), encoding="utf-8") == 0)
