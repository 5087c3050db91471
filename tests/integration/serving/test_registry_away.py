"""A registry over HTTP that refuses, or takes questions and never answers."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from nearline import registry
from nearline.contracts.bundle import CHAMPION
from nearline.embedded.valkey import EmbeddedValkey, free_port
from nearline.errors import StoreUnavailable
from serving import desired
from serving.desired import Desired
from serving.watch import WatchState


@pytest.fixture(autouse=True)
def unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TIMEOUT", "MAX_RETRIES", "BACKOFF_FACTOR", "BACKOFF_JITTER"):
        # Set first, so that what a test leaves there is taken away after it.
        monkeypatch.setenv(f"MLFLOW_HTTP_REQUEST_{name}", "")
        monkeypatch.delenv(f"MLFLOW_HTTP_REQUEST_{name}")


@pytest.fixture
def silent() -> Iterator[str]:
    """The address of one that takes questions and never answers."""
    with socket.create_server(("127.0.0.1", free_port())) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


@contextlib.contextmanager
def broken() -> Iterator[tuple[str, list[str]]]:
    """The address of one that answers 503, and what it was asked."""
    asked: list[str] = []

    class Broken(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_error(503)

        def log_message(self, *_: object) -> None:
            """Not to the terminal."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Broken) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()


def test_one_that_is_broken_is_asked_twice_and_told() -> None:
    registry.give_up_soon()
    with broken() as (address, asked), pytest.raises(StoreUnavailable, match=address):
        registry.resolve(address, CHAMPION)
    assert len(asked) == 2


def test_an_operator_may_have_it_asked_more_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "3")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "0")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_BACKOFF_JITTER", "0")
    registry.give_up_soon()
    with broken() as (address, asked), pytest.raises(StoreUnavailable):
        registry.resolve(address, CHAMPION)
    assert len(asked) == 4


def test_one_that_is_silent_is_given_up(silent: str) -> None:
    registry.give_up_soon(silence_limit_s=1)

    with pytest.raises(StoreUnavailable):
        registry.resolve(silent, CHAMPION)


@pytest.mark.ray
@pytest.mark.redis
def test_serving_starts_with_what_it_served_before(silent: str, tmp_path: Path, tiny: Any) -> None:
    from tests.integration.serving.conftest import Service

    folder = tmp_path / "bundles" / "7"
    tiny.write(folder, seed=1)
    served = WatchState(active="7", looked=True)
    desired.write(tmp_path / "bundles", Desired(str(folder), watched=served, at_us=1))
    with EmbeddedValkey(tmp_path / "valkey", free_port()) as valkey:
        running = Service(tmp_path, valkey, MLFLOW_TRACKING_URI=silent)
        try:
            healths, answer = running.healths(), running.recommend("anybody")
        finally:
            running.close()

    assert [(one["bundle"], one["registry"]) for one in healths] == [("7", False)] * 2
    assert answer["versions"]["bundle"] == "7"
    assert "bundle_unavailable" not in answer["degraded"]
