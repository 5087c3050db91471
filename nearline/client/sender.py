"""Who runs the programs of an outbox: a thread, or a task of an event loop."""

from __future__ import annotations

import _thread
import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from nearline.client.errors import Undelivered
from nearline.client.exchange import Reply
from nearline.client.outbox import Change, Outbox, Post, Sending, Tell, decoded, tell
from nearline.client.steps import Program, arun, run
from nearline.contracts.verdict import Outcome, Verdict

T = TypeVar("T")


class Sender:
    """Sends what is put into it from a thread of its own; see `Outbox` for what each call does.

    `post` makes one attempt (see `Transport.post_batch`). The thread starts with the first `put`,
    so that a process that sends nothing has none.
    """

    def __init__(self, post: Callable[[Sequence[bytes], float], Reply], sending: Sending) -> None:
        self._post = post
        self._changed = threading.Condition()
        self._outbox = Outbox(sending, time.monotonic, self._changed.notify_all)
        self._started = False
        self._role = threading.Lock()  # Taken by the thread that sends, for good.

    @property
    def counts(self) -> dict[Outcome, int]:
        with self._changed:
            return self._outbox.counts

    def put(self, encoded: bytes) -> None:
        try:
            self._start()
        except RuntimeError as error:  # None is left, or this is the end of the interpreter.
            cause = f"no thread could be started to send it ({error})."
            raise Undelivered([decoded(encoded)], cause) from error
        self._run(self._outbox.put(encoded))

    def flush(self, timeout_s: float) -> list[Verdict]:
        return self._run(self._outbox.flush(timeout_s))

    def close(self, timeout_s: float) -> None:
        # Without a thread nothing was ever put, and there is nobody to wait for.
        self._run(self._outbox.close(timeout_s if self._started else 0.0))

    def _start(self) -> None:
        # Not threading.Thread: its start waits for the new thread, which cannot begin while a
        # signal handler interrupts that wait. One thread too many (Ctrl-C between these lines, two
        # first events at once) finds the role taken.
        if not self._started:
            _thread.start_new_thread(self._work, ())
            self._started = True

    def _work(self) -> None:
        if not self._role.acquire(blocking=False):
            return
        try:
            self._run(self._outbox.sending())
        except BaseException as error:  # noqa: BLE001 - a thread that dies unseen would lose events
            self._run(self._outbox.broke(error))

    def _run(self, program: Program[T]) -> T:
        with self._changed:
            return run(program, self._perform)

    def _perform(self, step: Any) -> Any:
        match step:
            case Change(limit_s):
                return self._changed.wait(limit_s)
            case Post(batch, limit_s):
                return self._outside(lambda: self._post(batch, limit_s))
            case Tell():
                return self._outside(lambda: tell(step))

    def _outside(self, act: Callable[[], T]) -> T:
        self._changed.release()
        try:
            return act()
        finally:
            self._changed.acquire()


class AsyncSender:
    """The same as a task of the event loop in which it is first used."""

    def __init__(
        self, post: Callable[[Sequence[bytes], float], Awaitable[Reply]], sending: Sending
    ) -> None:
        self._post = post
        self._changed = asyncio.Event()
        self._outbox = Outbox(sending, time.monotonic, self._notify_all)
        self._task: asyncio.Task[None] | None = None

    @property
    def counts(self) -> dict[Outcome, int]:
        return self._outbox.counts

    @property
    def waiting(self) -> int:
        return self._outbox.waiting

    async def put(self, encoded: bytes) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._work(), name="nearline-sender")
        await arun(self._outbox.put(encoded), self._perform)

    async def flush(self, timeout_s: float) -> list[Verdict]:
        return await arun(self._outbox.flush(timeout_s), self._perform)

    async def close(self, timeout_s: float) -> None:
        try:
            # Without a task nothing was ever put, and there is nobody to wait for.
            await arun(self._outbox.close(timeout_s if self._task else 0.0), self._perform)
        finally:
            if self._task is not None:
                self._task.cancel()
                await asyncio.wait([self._task])

    def disown(self) -> None:
        """Let the task go without a word, in the child of a fork: it lives on in the parent."""
        if self._task is not None:
            self._task._log_destroy_pending = False  # type: ignore[attr-defined]

    async def _work(self) -> None:
        try:
            await arun(self._outbox.sending(), self._perform)
        except (asyncio.CancelledError, GeneratorExit):  # Ended with its event loop.
            raise
        except BaseException as error:  # A task that dies unseen would lose events.
            await arun(self._outbox.broke(error), self._perform)
            if not isinstance(error, Exception):
                raise  # sys.exit() in `on_refused` ends the event loop, as everywhere in it.

    async def _perform(self, step: Any) -> Any:
        match step:
            case Change(limit_s):
                changed = self._changed
                with suppress(TimeoutError):
                    async with asyncio.timeout(limit_s):
                        await changed.wait()
            case Post(batch, limit_s):
                return await self._post(batch, limit_s)
            case Tell():
                tell(step)
        return None

    def _notify_all(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
