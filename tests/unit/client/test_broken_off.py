"""A sender that is broken off (Ctrl-C, a cancelled task, sys.exit() in a callback) says so."""

from __future__ import annotations

import asyncio
import functools
import random
import threading
import time
from collections.abc import Sequence
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

    assert "interrupted: 2 events were not delivered" in caplog.text
    with pytest.raises(Undelivered) as left:
        run(outbox.flush(SOON_S), interrupted)
    assert left.value.messages == [{"messageId": "a"}, {"messageId": "b"}]
    run(outbox.sending(), interrupted)  # Sends no more, and ends.


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
    def no_thread(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    sender = Sender(Collector().post, LINGERS)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", no_thread)
        with pytest.raises(RuntimeError, match="new thread"):
            sender.put(message("a"))

    sender.put(message("b"))
    assert [verdict.event_id for verdict in sender.flush(SOON_S)] == ["b"]
    sender.close(SOON_S)
