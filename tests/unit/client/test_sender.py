"""Both senders against a scripted collector: a real thread, a real loop, no network, no sleep."""

from __future__ import annotations

import asyncio
import functools
import json
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Any, Protocol

import pytest

from nearline.client.errors import FlushTimeout, QueueFull, Refused, Undelivered
from nearline.client.exchange import Again, BodyRefused, Delivered, Reply, Stop
from nearline.client.outbox import SenderLimits, Sending, log_refusal
from nearline.client.retry import Backoff
from nearline.client.sender import AsyncSender, Sender
from nearline.contracts.position import LogPosition
from nearline.contracts.verdict import Outcome, Verdict
from tests.awaited import Awaited

SOON_S = 10.0  # A deadline for what takes milliseconds.


class Collector:
    """Answers with the scripted replies first, then accepts all; remembers what it was sent."""

    def __init__(self, *script: Callable[[list[str]], Reply] | Reply) -> None:
        self._script = list(script)
        self.attempts: list[list[str]] = []
        self.gate = threading.Event()
        self.gate.set()

    def post(self, encoded: Sequence[bytes], timeout_s: float) -> Reply:
        ids = [json.loads(one)["messageId"] for one in encoded]
        self.attempts.append(ids)
        self.gate.wait(SOON_S)
        if not self._script:
            return accept(ids)
        step = self._script.pop(0)
        return step(ids) if callable(step) else step


def accept(ids: list[str]) -> Delivered:
    return Delivered(
        [
            Verdict(Outcome.ACCEPTED, message_id, LogPosition(0, 1_000, at))
            for at, message_id in enumerate(ids)
        ]
    )


def message(message_id: str) -> bytes:
    return json.dumps({"messageId": message_id}).encode()


class Opened(Protocol):
    """Opens a sender; leaving the block closes it."""

    def __call__(
        self,
        collector: Collector,
        limits: SenderLimits | None = None,
        on_refused: Callable[[Verdict], None] = log_refusal,
    ) -> AbstractContextManager[Sender]: ...


def blocking(collector: Collector, how: Sending) -> Any:
    return Sender(collector.post, how)


def awaiting(collector: Collector, how: Sending) -> Any:
    post = functools.partial(asyncio.to_thread, collector.post)
    return Awaited(lambda: AsyncSender(post, how))


@pytest.fixture(params=[blocking, awaiting], ids=lambda made: made.__name__)
def sending(request: pytest.FixtureRequest) -> Opened:
    @contextmanager
    def opened(
        collector: Collector,
        limits: SenderLimits | None = None,
        on_refused: Callable[[Verdict], None] = log_refusal,
    ) -> Iterator[Sender]:
        backoff = Backoff(first_s=0.001, longest_s=0.002)
        limits = limits or SenderLimits(linger_s=0.0)
        sender = request.param(collector, Sending(limits, backoff, random.Random(7), on_refused))
        try:
            yield sender
        finally:
            collector.gate.set()
            with suppress(Undelivered):
                sender.close(SOON_S)

    return opened


def test_flush_returns_one_verdict_for_each_event_in_order(sending: Opened) -> None:
    with sending(Collector()) as sender:
        for name in ("a", "b", "c"):
            sender.put(message(name))

        verdicts = sender.flush(SOON_S)

        assert [verdict.event_id for verdict in verdicts] == ["a", "b", "c"]
        assert all(verdict.position is not None for verdict in verdicts)
        assert sender.flush(SOON_S) == []
        assert sender.counts == {Outcome.ACCEPTED: 3}


def test_a_failed_attempt_is_repeated_with_the_same_messages(sending: Opened) -> None:
    collector = Collector(Again("ConnectError"), Again("HTTP 503"))
    with sending(collector) as sender:
        sender.put(message("a"))

        assert [verdict.event_id for verdict in sender.flush(SOON_S)] == ["a"]

    assert collector.attempts == [["a"], ["a"], ["a"]]


def test_a_full_queue_blocks_briefly_and_then_says_so_without_losing_anything(
    sending: Opened,
) -> None:
    collector = Collector()
    collector.gate.clear()
    limits = SenderLimits(max_queued=2, full_wait_s=0.01, linger_s=0.0)
    with sending(collector, limits) as sender:
        sender.put(message("a"))
        sender.put(message("b"))
        with pytest.raises(QueueFull, match="2 events wait") as full:
            sender.put(message("c"))
        assert full.value.queued == 2

        collector.gate.set()
        assert [verdict.event_id for verdict in sender.flush(SOON_S)] == ["a", "b"]


def test_a_full_queue_takes_the_event_once_there_is_room(sending: Opened) -> None:
    collector = Collector()
    collector.gate.clear()
    limits = SenderLimits(max_queued=1, full_wait_s=SOON_S, linger_s=0.0)
    with sending(collector, limits) as sender:
        sender.put(message("a"))
        threading.Timer(0.01, collector.gate.set).start()
        sender.put(message("b"))
        sender.flush(SOON_S)

    assert sorted(collector.attempts[0] + collector.attempts[-1]) == ["a", "b"]


def test_flush_that_runs_out_of_time_says_how_many_wait_and_sending_goes_on(
    sending: Opened,
) -> None:
    collector = Collector()
    collector.gate.clear()
    with sending(collector) as sender:
        sender.put(message("a"))
        with pytest.raises(FlushTimeout) as late:
            sender.flush(0.01)
        assert late.value.waiting == 1

        collector.gate.set()
        assert [verdict.event_id for verdict in sender.flush(SOON_S)] == ["a"]


def test_a_batch_refused_as_a_whole_is_split_until_the_bad_event_stands_alone(
    sending: Opened,
) -> None:
    refusal = Refused("collector", 400, {"title": "bad JSON", "code": "bad_json"})

    def refuse_with_bad(ids: list[str]) -> Reply:
        return BodyRefused(refusal) if "bad" in ids else accept(ids)

    collector = Collector(*[refuse_with_bad] * 50)
    collector.gate.clear()
    refused: list[Verdict] = []
    limits = SenderLimits(linger_s=SOON_S, batch_events=8)
    with sending(collector, limits, refused.append) as sender:
        for name in ("a", "b", "c", "bad", "d", "e", "f", "g"):
            sender.put(message(name))
        collector.gate.set()
        verdicts = sender.flush(SOON_S)

    assert [verdict.event_id for verdict in verdicts] == [*list("abc"), "bad", *list("defg")]
    outcomes = {verdict.event_id: verdict.outcome for verdict in verdicts}
    assert outcomes.pop("bad") is Outcome.REJECTED
    assert set(outcomes.values()) == {Outcome.ACCEPTED}
    assert [(verdict.event_id, verdict.code) for verdict in refused] == [("bad", "bad_json")]


def test_a_wrong_write_key_stops_sending_and_hands_the_messages_back(sending: Opened) -> None:
    refusal = Refused("collector", 401, {"title": "unknown write key"})
    with sending(Collector(Stop(refusal))) as sender:
        sender.put(message("a"))
        with pytest.raises(Undelivered, match="write key") as stopped:
            sender.flush(SOON_S)
        assert stopped.value.messages == [{"messageId": "a"}]

        with pytest.raises(Undelivered) as refused:
            sender.put(message("b"))
        assert refused.value.messages == [{"messageId": "b"}]


def test_closing_sends_what_is_left_without_lingering(sending: Opened) -> None:
    collector = Collector()
    with sending(collector, SenderLimits(linger_s=3_600.0)) as sender:
        sender.put(message("a"))

        sender.close(SOON_S)

    assert collector.attempts == [["a"]]


def test_closing_in_vain_hands_the_messages_back(sending: Opened) -> None:
    collector = Collector(*[Again("ConnectError")] * 100_000)
    with sending(collector) as sender:
        sender.put(message("a"))
        sender.put(message("b"))

        with pytest.raises(Undelivered, match="ConnectError") as left:
            sender.close(0.05)

    assert left.value.messages == [{"messageId": "a"}, {"messageId": "b"}]


def test_a_batch_stays_below_the_collectors_limit_in_bytes(sending: Opened) -> None:
    collector = Collector()
    big = json.dumps({"messageId": "m", "text": "x" * 400}).encode()
    with sending(collector, SenderLimits(linger_s=SOON_S, batch_bytes=1_000)) as sender:
        for _ in range(6):
            sender.put(big)
        sender.flush(SOON_S)

    assert sum(len(ids) for ids in collector.attempts) == 6
    assert max(len(ids) for ids in collector.attempts) == 2


def test_a_callers_broken_callback_does_not_end_the_sending(sending: Opened) -> None:
    def broken(verdict: Verdict) -> None:
        raise RuntimeError("the caller's mistake")

    refused = Delivered([Verdict(Outcome.REJECTED, "a", code="bad_time", hint="mend it")])
    with sending(Collector(refused), on_refused=broken) as sender:
        sender.put(message("a"))
        assert [verdict.code for verdict in sender.flush(SOON_S)] == ["bad_time"]
        sender.put(message("b"))

        assert [verdict.event_id for verdict in sender.flush(SOON_S)] == ["b"]


def test_a_sender_that_fails_itself_says_so_and_hands_the_messages_back(sending: Opened) -> None:
    def nonsense(ids: list[str]) -> Reply:
        raise AssertionError("a bug of ours")

    with sending(Collector(nonsense)) as sender:
        sender.put(message("a"))
        with pytest.raises(Undelivered, match=r"the sender failed \(AssertionError\)") as failed:
            sender.flush(SOON_S)

    assert failed.value.messages == [{"messageId": "a"}]


def test_closing_what_was_never_used_waits_for_nobody(sending: Opened) -> None:
    with sending(Collector()) as sender:
        sender.close(SOON_S)


def test_a_put_that_is_cancelled_while_it_waits_has_queued_nothing() -> None:
    async def story() -> list[str | None]:
        collector = Collector()
        collector.gate.clear()
        limits = SenderLimits(max_queued=1, full_wait_s=SOON_S, linger_s=0.0)
        how = Sending(limits, Backoff(), random.Random(7), log_refusal)
        sender = AsyncSender(functools.partial(asyncio.to_thread, collector.post), how)
        await sender.put(message("a"))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await sender.put(message("b"))
        collector.gate.set()
        verdicts = await sender.flush(SOON_S)
        await sender.close(SOON_S)
        return [verdict.event_id for verdict in verdicts]

    assert asyncio.run(story()) == ["a"]
