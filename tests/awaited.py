"""What must be awaited, called as if it blocked: so that one suite holds both kinds."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Self


class Awaited:
    """`made()` and its calls, in an event loop that runs in a thread of its own until closed."""

    def __init__(self, made: Callable[[], Any]) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._inner = made()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if not inspect.iscoroutinefunction(found):
            return found
        return lambda *args, **kwargs: self._await(found(*args, **kwargs))

    def close(self, timeout_s: float = 10.0) -> None:
        if not self._loop.is_closed():
            self._end(self._inner.close(timeout_s))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._loop.is_closed():
            self._end(self._inner.__aexit__(kind, error, trace))

    def _end(self, ending: Coroutine[Any, Any, None]) -> None:
        try:
            self._await(ending)
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            left = asyncio.all_tasks(self._loop)
            self._loop.close()
            assert not left, f"closing left {left} behind"

    def _await(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()
