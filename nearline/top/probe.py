"""Reads the parts' pages and the memory of their processes; decides nothing."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import psutil
import redis

from nearline.embedded import processes
from nearline.embedded.running import marked
from nearline.settings import Settings
from nearline.top.figures import COLLECTOR, HISTORY, PARTS, SERVE, STORE, WORKER, Page, Snapshot
from nearline.top.window import parse

_TIMEOUT_S = 1.0  # A part that needs longer to say how it is, is not well.


class Probe:
    """Takes snapshots of what runs at the settings' ports."""

    def __init__(self, settings: Settings) -> None:
        host, metrics = settings.host, settings.metrics_port
        self._gateway = f"http://{host}:{settings.api_http_port}"
        self._pages = {
            COLLECTOR: f"http://{host}:{settings.collector_http_port}/metrics",
            WORKER: f"http://{host}:{metrics}/metrics",
            HISTORY: f"http://{host}:{metrics + 1}/metrics",
            SERVE: f"{self._gateway}/metrics",
        }
        self._home = settings.home
        self._http = httpx.Client(timeout=_TIMEOUT_S, trust_env=False)
        self._store = redis.Redis.from_url(
            settings.redis_address,
            socket_timeout=_TIMEOUT_S,
            socket_connect_timeout=_TIMEOUT_S,
            retry=None,
        )

    def snapshot(self) -> Snapshot:
        pages = {part: self._page(url) for part, url in self._pages.items()}
        memory = _memory(self._home)
        try:
            told: Any = self._store.info("memory")
            memory[STORE], pages[STORE] = int(told["used_memory_rss"]), Page({})
        except redis.RedisError as error:
            pages[STORE] = Page(problem=type(error).__name__)
        return Snapshot(time.monotonic(), pages, self._health(), memory)

    def close(self) -> None:
        self._http.close()
        self._store.close()

    def _page(self, url: str) -> Page:
        try:
            response = self._http.get(url)
        except httpx.HTTPError as error:
            return Page(problem=type(error).__name__)
        if response.status_code != 200:
            return Page(problem=f"HTTP {response.status_code}")
        try:
            return Page(parse(response.text))
        except ValueError:
            return Page(problem="no metrics page")

    def _health(self) -> Mapping[str, Any]:
        try:
            document = self._http.get(f"{self._gateway}/healthz").json()
        except (httpx.HTTPError, ValueError):
            return {}
        return document if isinstance(document, dict) else {}


def _memory(home: Path) -> dict[str, int]:
    """Resident bytes of each part of the stack that `nearline up` has started here.

    Without the store, which tells them itself.
    """
    stack = marked(home)
    if "stack" not in stack:
        return {}
    found: dict[str, int] = {}
    for process in processes.marked(str(stack["stack"])):
        try:
            part = part_of([process.cmdline(), *(one.cmdline() for one in process.parents())])
            if part is not None:
                found[part] = found.get(part, 0) + process.memory_info().rss
        except psutil.Error:
            continue  # It ended meanwhile.
    return found


def part_of(commands: list[list[str]]) -> str | None:
    """The part that a process belongs to, by its own command line and then its ancestors'."""
    for command in commands:
        for place, word in enumerate(command[:-1]):
            if Path(word).name == "nearline" and command[place + 1] in PARTS:
                return command[place + 1]
    return None
