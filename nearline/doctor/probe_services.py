"""Looks at the registries and asks the services; decides nothing."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import httpx

from nearline import registry, retraining
from nearline.contracts.bundle import CHAMPION
from nearline.doctor.service_checks import Champion, Health
from nearline.errors import NearlineError, PermanentError
from nearline.feast_layout import CUSTOMER_VIEW, ITEM_VIEW

_SQLITE = "sqlite:///"


def missing_views(path: Path) -> set[str] | None:
    """The feature views that the registry file does not name; None where there is no file.

    Reads the file as bytes: loading Feast takes many seconds.
    """
    try:
        data = path.read_bytes()
    except OSError:
        return None
    return {view for view in (CUSTOMER_VIEW.view, ITEM_VIEW.view) if view.encode() not in data}


def retraining_hours(home: Path) -> tuple[float | None, float | None]:
    """How long ago retraining last succeeded, and the beat of its schedule; None for neither.

    A damaged file counts as a schedule that never succeeded.
    """
    try:
        state, rhythm = retraining.read(home), retraining.read_schedule(home)
    except PermanentError:
        return None, 24.0
    hour_us, done_us = 3_600_000_000, state.last_success_us
    ago_h = None if done_us is None else max(0.0, time.time() * 1e6 - done_us) / hour_us
    every_h = rhythm.every_us / hour_us if rhythm else 24.0
    return ago_h, every_h if rhythm or state.runs else None


def champion(uri: str) -> Champion:
    """The champion of the registry, its files fetched aside and verified."""
    if uri.startswith(_SQLITE) and not Path(uri.removeprefix(_SQLITE)).is_file():
        return Champion()  # Asking would create the database.
    version: str | None = None
    registry.give_up_soon()
    try:
        version = registry.resolve(uri, CHAMPION)
        if version is None:
            return Champion()
        with tempfile.TemporaryDirectory() as aside:
            registry.download(uri, version, Path(aside))
    except NearlineError as error:
        return Champion(version, str(error))
    return Champion(version)


def health(url: str) -> Health:
    """What GET /healthz of a service answers."""
    try:
        response = httpx.get(f"{url}/healthz", timeout=3.0)
    except httpx.HTTPError as error:
        return Health(error=f"no answer ({type(error).__name__})")
    try:
        document = response.json()
    except ValueError:
        document = None
    return Health(response.status_code, document if isinstance(document, dict) else None)
