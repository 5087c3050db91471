"""When an attempt is made, and when no more: programs against a clock that the test moves."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from nearline.client.errors import Refused, Unavailable
from nearline.client.exchange import Answered, Attempt, Exchange, Silence, Sleep
from nearline.client.retry import Backoff
from nearline.client.steps import Program, run
from nearline.clock import FixedClock
from nearline.contracts.answer import TagsAnswer

TAGS = b'{"tags": [], "receipt": {"log_position": "", "as_of_us": 1, "newest_event_at_us": 0, '
TAGS += b'"newest_event_age_ms": null, "features_age_ms": null}}'
Outcome = Answered | Silence


class World:
    """A clock, and a network that answers as scripted: (seconds that it takes, what comes)."""

    def __init__(self, *script: tuple[float, Outcome], draw: float = 0.5) -> None:
        self.now_s, self.script = 100.0, list(script)
        self.attempts: list[tuple[float, Attempt]] = []
        self.slept_s: list[float] = []
        rng = random.Random()
        rng.random = lambda: draw  # type: ignore[method-assign]
        self.exchange = Exchange(
            "http://collector:7300",
            "http://api:7310",
            "key",
            clock=FixedClock(0),
            rng=rng,
            backoff=Backoff(first_s=0.2, longest_s=10.0),
            monotonic=lambda: self.now_s,
        )

    def run(self, program: Callable[[Exchange], Program[Any]]) -> Any:
        return run(program(self.exchange), self.perform)

    def perform(self, step: Any) -> Any:
        match step:
            case Sleep(delay_s):
                self.slept_s.append(delay_s)
                self.now_s += delay_s
                return None
            case Attempt():
                self.attempts.append((self.now_s - 100.0, step))
                takes_s, outcome = self.script.pop(0)
                self.now_s += takes_s
                return outcome


def tags(limit_s: float) -> Callable[[Exchange], Program[TagsAnswer]]:
    return lambda exchange: exchange.ask("GET", "/v1/tags/c", None, TagsAnswer, limit_s)


def status(code: int, **headers: str) -> Answered:
    return Answered(code, {name.replace("_", "-"): text for name, text in headers.items()}, b"")


def test_pauses_double_and_the_time_left_shrinks_by_all_that_was_waited() -> None:
    world = World(
        (0.1, status(503)), (0.1, Silence("ConnectError")), (0.1, Answered(200, {}, TAGS))
    )

    assert world.run(tags(2.0)).tags == ()

    # Half of 0.2 s, then half of 0.4 s; attempts at 0, 0.1 + 0.1 and 0.2 + 0.1 + 0.2.
    assert world.slept_s == pytest.approx([0.1, 0.2])
    assert [at_s for at_s, _ in world.attempts] == pytest.approx([0.0, 0.2, 0.5])
    assert [attempt.left_s for _, attempt in world.attempts] == pytest.approx([2.0, 1.8, 1.5])
    sent = [attempt.headers["X-Nearline-Deadline-Ms"] for _, attempt in world.attempts]
    assert [int(left_ms) for left_ms in sent] == pytest.approx([2_000, 1_800, 1_500], abs=1)


def test_no_more_is_announced_than_the_api_reads() -> None:
    world = World((0.0, Answered(200, {}, TAGS)))

    world.run(tags(3_600.0))

    assert world.attempts[0][1].headers["X-Nearline-Deadline-Ms"] == "60000"


def test_a_pause_that_would_end_after_the_deadline_is_not_begun() -> None:
    world = World((0.1, status(503, retry_after="2")))

    with pytest.raises(Unavailable, match="HTTP 503") as over:
        world.run(tags(2.0))

    assert world.slept_s == []
    assert over.value.waited_s == pytest.approx(0.1)


def test_where_chance_would_reach_beyond_the_deadline_there_is_one_last_attempt_halfway() -> None:
    world = World(*[(0.0, Silence("ConnectError"))] * 5, draw=0.999)

    with pytest.raises(Unavailable):
        world.run(tags(2.0))

    # About 0.2, 0.4 and 0.8 s; the next would be 1.6 s with 0.6 s left, so half of that.
    assert world.slept_s == pytest.approx([0.2, 0.4, 0.8, 0.3], abs=0.01)
    assert len(world.attempts) == 5


def test_retry_after_is_waited_for_with_jitter_on_top() -> None:
    world = World((0.0, status(429, retry_after="1")), (0.0, Answered(200, {}, TAGS)))

    world.run(tags(5.0))

    assert world.slept_s == pytest.approx([1.1])  # 1 s asked for, and half of 0.2 s


def test_a_sleep_that_overshoots_the_deadline_is_not_followed_by_an_attempt() -> None:
    world = World((0.0, status(503)))
    perform = world.perform

    def oversleeping(step: Any) -> Any:
        outcome = perform(step)
        world.now_s += 5.0 if isinstance(step, Sleep) else 0.0
        return outcome

    with pytest.raises(Unavailable):
        run(tags(2.0)(world.exchange), oversleeping)

    assert len(world.attempts) == 1


def test_all_causes_are_named_since_the_last_is_often_the_time_alone() -> None:
    world = World((0.1, Silence("ConnectError")), (1.8, Silence("Timeout")))

    with pytest.raises(Unavailable, match=r"ConnectError, then Timeout"):
        world.run(tags(2.0))


def test_what_cannot_help_is_not_tried_again() -> None:
    problem = Answered(404, {}, b'{"title": "Not Found", "code": "not_found"}')
    world = World((0.0, problem))

    with pytest.raises(Refused) as refused:
        world.run(tags(2.0))

    assert (refused.value.code, len(world.attempts)) == ("not_found", 1)


def test_an_answer_that_is_no_problem_document_is_named_by_its_status() -> None:
    world = World((0.0, Answered(451, {}, b"<html>")))

    with pytest.raises(Refused, match=r"HTTP 451\): Unavailable For Legal Reasons"):
        world.run(tags(2.0))


def test_no_time_at_all_means_no_attempt() -> None:
    world = World()

    with pytest.raises(Unavailable, match="no time was given"):
        world.run(tags(0.0))
