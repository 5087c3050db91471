"""A sender that is broken off (Ctrl-C, a cancelled task, sys.exit() in a callback) says so."""

from __future__ import annotations

import _thread
import asyncio
import functools
import gc
import itertools
import logging
import random
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from types import FrameType
from typing import Any

import pytest

from nearline.client.errors import Undelivered
from nearline.client.exchange import Delivered, Reply
from nearline.client.outbox import Outbox, SenderLimits, Sending, log_refusal
from nearline.client.retry import Backoff
from nearline.client.sender import AsyncSender, Sender
from nearline.client.steps import run
from nearline.contracts.verdict import Outcome, Verdict
from tests.unit.client.test_sender import SOON_S, Collector, message

LINGERS = Sending(SenderLimits(linger_s=3_600.0), Backoff(), random.Random(7), log_refusal)


def test_closing_that_is_interrupted_says_how_many_are_left_and_keeps_them(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def interrupted(step: Any) -> None:
        raise KeyboardInterrupt

    outbox = Outbox(LINGERS, time.monotonic, lambda: None)
    run(outbox.put(message("a")), interrupted)
    run(outbox.put(message("b")), interrupted)

    with pytest.raises(KeyboardInterrupt):
        run(outbox.close(SOON_S), interrupted)
    run(outbox.close(SOON_S), interrupted)  # As at the end of a `with`: does nothing more.

    assert "interrupted: 2 events were not delivered" in caplog.text
    with pytest.raises(Undelivered) as left:
        run(outbox.flush(SOON_S), interrupted)
    assert left.value.messages == [{"messageId": "a"}, {"messageId": "b"}]
    run(outbox.sending(), interrupted)  # Sends no more, and ends.


def test_closing_again_waits_for_nothing_more() -> None:
    def interrupted(step: Any) -> None:
        raise AssertionError("waits")

    outbox = Outbox(LINGERS, time.monotonic, lambda: None)
    run(outbox.put(message("a")), interrupted)
    with pytest.raises(Undelivered):
        run(outbox.close(0.0), interrupted)

    run(outbox.close(SOON_S), interrupted)


def test_closing_that_is_cancelled_says_how_many_are_left_and_keeps_them(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def story() -> None:
        sending, never = asyncio.Event(), asyncio.Event()

        async def post(encoded: Sequence[bytes], timeout_s: float) -> Reply:
            sending.set()
            await never.wait()
            raise AssertionError("nobody answers")

        sender = AsyncSender(post, LINGERS)
        await sender.put(message("a"))
        closing = asyncio.create_task(sender.close(3_600.0))
        await sending.wait()
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        with pytest.raises(Undelivered) as left:
            await sender.flush(SOON_S)
        assert left.value.messages == [{"messageId": "a"}]

    asyncio.run(story())
    assert [record.getMessage()[:55] for record in caplog.records] == [
        "closing was interrupted: 1 events were not delivered. `"
    ]


REFUSED = Delivered([Verdict(Outcome.REJECTED, "a", code="bad_time", hint="mend it")])


def leave(verdict: Verdict) -> None:
    raise SystemExit("the app wants to end")


def test_a_callback_that_ends_the_senders_thread_is_told_with_the_next_event() -> None:
    how = Sending(SenderLimits(linger_s=0.0), Backoff(), random.Random(7), leave)
    sender = Sender(Collector(REFUSED).post, how)
    sender.put(message("a"))
    sender.flush(SOON_S)

    def puts_another() -> None:
        sender.put(message("b"))  # May come before the end of the thread; `flush` not.
        sender.flush(SOON_S)

    with pytest.raises(Undelivered, match=r"the sender failed \(SystemExit\)") as left:
        puts_another()
    assert left.value.messages == [{"messageId": "b"}]


def test_a_callback_that_ends_the_event_loop_leaves_nothing_to_wait_for() -> None:
    left: list[Undelivered] = []

    async def story() -> None:
        limits = SenderLimits(linger_s=0.0, batch_events=1)
        how = Sending(limits, Backoff(), random.Random(7), leave)
        sender = AsyncSender(functools.partial(asyncio.to_thread, Collector(REFUSED).post), how)
        await sender.put(message("a"))
        await sender.put(message("b"))
        try:
            await asyncio.Event().wait()
        finally:
            try:
                await sender.close(SOON_S)
            except Undelivered as error:
                left.append(error)

    with pytest.raises(SystemExit, match="the app wants to end"):
        asyncio.run(story())
    assert [one.messages for one in left] == [[{"messageId": "b"}]]
    assert "the sender failed (SystemExit)" in str(left[0])


def test_where_no_thread_can_start_nothing_is_taken_and_the_next_event_tries_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def no_thread(work: Callable[[], None], arguments: tuple[()]) -> int:
        raise RuntimeError("can't start new thread")

    sender = Sender(Collector().post, LINGERS)
    with monkeypatch.context() as patched:
        patched.setattr(_thread, "start_new_thread", no_thread)
        with pytest.raises(Undelivered, match=r"no thread .*can't start new thread") as left:
            sender.put(message("a"))
    assert left.value.messages == [{"messageId": "a"}]

    sender.put(message("b"))
    assert [verdict.event_id for verdict in sender.flush(SOON_S)] == ["b"]
    sender.close(SOON_S)


AT_ONCE = Sending(SenderLimits(linger_s=0.0), Backoff(), random.Random(7), log_refusal)
LONG_S = 30.0  # The machine may pause for seconds.


@pytest.mark.parametrize("begun", [False, True])
def test_ctrl_c_in_the_first_event_leaves_a_sender_that_works(
    monkeypatch: pytest.MonkeyPatch, begun: bool
) -> None:
    start = _thread.start_new_thread

    def interrupted(work: Callable[[], None], arguments: tuple[()]) -> int:
        if begun:
            start(work, arguments)
        raise KeyboardInterrupt

    collector = Collector()
    sender = Sender(collector.post, AT_ONCE)
    with monkeypatch.context() as patched:
        patched.setattr(_thread, "start_new_thread", interrupted)
        patched.setattr(threading, "_start_new_thread", interrupted)
        with pytest.raises(KeyboardInterrupt):
            sender.put(message("a"))

    for name in ("b", "c"):
        sender.put(message(name))
        sender.flush(LONG_S)
    sender.close(LONG_S)
    assert collector.attempts == [["b"], ["c"]]


def test_a_handler_may_close_wherever_it_interrupts_the_first_event() -> None:
    def closed_at(point: int) -> bool:
        """Whether the event takes so many steps; at this one it is interrupted."""
        sender, steps, took_s = Sender(Collector().post, AT_ONCE), itertools.count(), list[float]()

        def step(frame: FrameType, event: str, _: Any) -> None:
            # Where Python looks for signals: as a function begins, and after one in C.
            if event in ("call", "c_return") and next(steps) == point:
                began = time.monotonic()
                sender.close(LONG_S)
                took_s.append(time.monotonic() - began)

        sys.setprofile(step)
        try:
            with suppress(Undelivered):
                sender.put(message("a"))
        finally:
            sys.setprofile(None)
        assert not took_s or took_s[0] < LONG_S, f"waited in vain at step {point}"
        return bool(took_s)

    assert sum(itertools.takewhile(bool, map(closed_at, itertools.count()))) > 5


def test_an_event_loop_that_is_closed_without_its_tasks_is_no_failure_of_the_sender(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def post(encoded: Sequence[bytes], timeout_s: float) -> Reply:
        raise AssertionError("lingers")

    async def story() -> None:
        await AsyncSender(post, LINGERS).put(message("a"))
        await asyncio.sleep(0)  # The task begins.

    loop = asyncio.new_event_loop()
    loop.run_until_complete(story())
    loop.close()
    with caplog.at_level(logging.DEBUG):
        del loop
        gc.collect()

    assert "destroyed" in caplog.text  # asyncio's word for it; it was collected.
    assert "the sender stopped" not in caplog.text
