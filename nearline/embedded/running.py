"""Which embedded system is meant: a demo's folder, or what runs, by the file that it keeps."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil

from nearline.errors import PermanentError
from nearline.settings import Settings, load

DEMO, DEMO_OF_EVENTS = "demo", "demo-events"
_DEMOS = (DEMO, DEMO_OF_EVENTS)


def demo_home(home: Path, name: str) -> Path:
    """The folder of a demo (`DEMO`, `DEMO_OF_EVENTS`) by the home folder of the settings.

    It lies in that folder; where NEARLINE_HOME names a demo's own, beside it, or is it. A folder
    of such a name whose history no demo has made is somebody's shop: no demo touches it. Raises
    PermanentError where the demo's would be such a one.
    """
    found = (home.parent if home.name in _DEMOS and not _is_a_shop(home) else home) / name
    if _is_a_shop(found):
        raise PermanentError(
            f"{found} holds history that no demo has made, and a demo would mix its own into it: "
            "give the demo another place, such as NEARLINE_HOME=.nearline/trial"
        )
    return found


def _is_a_shop(home: Path) -> bool:
    """A demo makes `stages` first of all."""
    return (home / "history").exists() and not (home / "stages").exists()


def marker_of(home: Path) -> Path:
    """The file that names a running stack's id, process and ports; there while it runs."""
    return home / "stack.json"


def written(stack: str, ports: dict[str, int]) -> str:
    """What stands in the marker of a stack of this process."""
    return json.dumps({"stack": stack, "pid": os.getpid(), "ports": ports})


def marked(home: Path) -> dict[str, Any]:
    """What the marker of a home says; empty where there is none that can be read."""
    try:
        held = json.loads(marker_of(home).read_text())
    except (OSError, ValueError):
        return {}
    return held if isinstance(held, dict) else {}


def of_what_runs(settings: Settings) -> Settings:
    """The settings of the embedded system that runs here: its home, and the ports it chose.

    A demo's home counts where none is running in the settings' own, unless NEARLINE_HOME names
    one. A port that the environment names is what is meant.
    """
    home = settings.home
    if "NEARLINE_HOME" not in os.environ and not marker_of(home).is_file():
        demos = [home / name for name in _DEMOS if marker_of(home / name).is_file()]
        home = demos[0] if demos else home
    ports = {
        name: port
        for name, port in _ports_of(home).items()
        if f"NEARLINE_{name.upper()}" not in os.environ
    }
    return replace(settings, home=home, **ports)  # type: ignore[arg-type]


def settings_of_what_runs() -> Settings:
    """`of_what_runs` of the environment's settings: what every command beside the system reads."""
    return of_what_runs(load())


def _ports_of(home: Path) -> dict[str, int]:
    """What a stack that still runs listens on; nothing where none does."""
    held = marked(home)
    runs = "pid" in held and psutil.pid_exists(int(held["pid"]))
    return dict(held.get("ports", {})) if runs else {}
