"""Who may compute now: order, the wait that is foreseen, and refusals that end."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from serving import turns as module
from serving.turns import RETRY_AFTER_S, Overloaded, Turns


class Clock:
    """`time.perf_counter` by hand."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def perf_counter(self) -> float:
        return self.now_s

    def pass_ms(self, ms: float) -> None:
        self.now_s += ms / 1_000


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, "time", clock)
    return clock


def run(work: Coroutine[Any, Any, None]) -> None:
    """Tell a story; whoever waits for ever in it is let in too late."""

    async def told() -> None:
        async with asyncio.timeout(10):
            await work

    asyncio.run(told())


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


class Guests:
    """Each takes a turn, and holds it until it is sent away."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns
        self.inside: list[str] = []
        self._leave: dict[str, asyncio.Future[None]] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}

    async def come(self, *names: str, limit_ms: float | None = None) -> None:
        for name in names:
            self._leave[name] = asyncio.get_running_loop().create_future()
            self.tasks[name] = asyncio.create_task(self._stay(name, limit_ms))
        await settle()

    async def go(self, name: str, error: Exception | None = None) -> None:
        if error:
            self._leave[name].set_exception(error)
        else:
            self._leave[name].set_result(None)
        await settle()

    async def _stay(self, name: str, limit_ms: float | None) -> None:
        async with self.turns.turn(limit_ms):
            self.inside.append(name)
            try:
                await self._leave[name]
            finally:
                self.inside.remove(name)


def test_two_are_inside_at_once_and_the_others_follow_in_the_order_in_which_they_came() -> None:
    async def story() -> None:
        guests = Guests(Turns(1_000))
        await guests.come("a", "b", "c", "d")
        assert guests.inside == ["a", "b"]

        await guests.go("b")
        assert guests.inside == ["a", "c"]
        await guests.go("a")
        assert guests.inside == ["c", "d"]
        await guests.go("c")
        await guests.go("d")

    run(story())


def test_an_idle_house_lets_anybody_in_at_any_limit() -> None:
    async def story() -> None:
        turns = Turns(1_000)
        async with turns.turn(0.0):
            assert turns.refused == 0

    run(story())


def test_the_wait_is_how_many_there_are_times_the_pace_of_the_newest_turns(clock: Clock) -> None:
    async def story() -> None:
        turns = Turns(1_000, at_once=1)
        guests = Guests(turns)
        assert turns.expected_ms == 0.0
        # The guess of 100 ms is one turn of 20: (100 + 19 * 20) / 20 = 24 ms. From then on the
        # newest weighs 5 %: 24 + 0.05 * 20 = 25, then 25 + 0.05 * 19 = 25.95 ms.
        for ms in (*[20] * 19, 44, 44):
            await guests.come("a")
            clock.pass_ms(ms)
            await guests.go("a")
        assert turns.expected_ms == 0.0  # Nobody is there.

        await guests.come("a", "b", "c")
        assert turns.expected_ms == pytest.approx(3 * 25.95)
        for name in ("a", "b", "c"):
            await guests.go(name)

    run(story())


def test_in_a_queue_the_pace_counts_and_not_how_long_each_one_waited(clock: Clock) -> None:
    """Ten that come together and take 20 ms each, one by one, show a pace of 20 ms, not of 110."""

    async def story() -> None:
        turns = Turns(100_000, at_once=1)
        busy(turns, 20.0)
        guests = Guests(turns)
        names = [f"g{n}" for n in range(200)]
        await guests.come(*names)
        for name in names:
            clock.pass_ms(20)
            await guests.go(name)

        await guests.come("last")
        assert turns.expected_ms == pytest.approx(20)
        await guests.go("last")

    run(story())


def busy(turns: Turns, mean_ms: float) -> None:
    turns._mean_ms = mean_ms


def test_who_would_wait_too_long_is_refused_at_once_with_when_to_come_again() -> None:
    async def story() -> None:
        turns = Turns(100)
        guests = Guests(turns)
        busy(turns, 26.0)
        await guests.come("a", "b", "c")  # The third would be answered after 78 ms: it may.
        assert len(guests.tasks) == 3
        with pytest.raises(
            Overloaded, match=r"3 questions wait.*answered after 104 ms; at most 100 ms"
        ) as told:
            async with turns.turn():
                raise AssertionError("it was let in")
        assert (told.value.retry_after_s, turns.refused) == (RETRY_AFTER_S, 1)
        assert guests.inside == ["a", "b"]
        for name in ("a", "b", "c"):
            await guests.go(name)

    run(story())


def test_a_caller_in_a_hurry_is_refused_sooner_and_none_may_wait_longer_than_the_house_allows() -> (
    None
):
    async def story() -> None:
        turns = Turns(100)
        guests = Guests(turns)
        busy(turns, 30.0)
        await guests.come("a", "b")
        with pytest.raises(Overloaded, match="after 90 ms; at most 50 ms"):
            async with turns.turn(50.0):
                pass
        busy(turns, 60.0)
        with pytest.raises(Overloaded, match="at most 100 ms"):
            async with turns.turn(10_000.0):
                pass
        for name in ("a", "b"):
            await guests.go(name)

    run(story())


def test_of_a_first_burst_only_as_many_are_let_in_as_a_guess_allows_and_then_as_many_as_fit(
    clock: Clock,
) -> None:
    """100 ms are allowed, so a turn is guessed at 10: with nine there, a tenth is the last."""

    async def story() -> None:
        turns = Turns(100, at_once=1)
        guests = Guests(turns)
        first = [f"g{n}" for n in range(50)]
        await guests.come(*first)
        assert (turns.refused, turns.expected_ms) == (40, 100.0)
        for name in first[:10]:
            clock.pass_ms(2)
            await guests.go(name)

        # 2 ms each, and the guess as one of eleven: (10 + 10 * 2) / 11 = 2.73 ms.
        second = [f"h{n}" for n in range(50)]
        await guests.come(*second)
        assert turns.refused - 40 == 50 - 36  # With 35 before, one is answered after 98.2 ms.
        for name in second[:36]:
            await guests.go(name)
        refused = await asyncio.gather(*guests.tasks.values(), return_exceptions=True)
        assert sum(isinstance(one, Overloaded) for one in refused) == turns.refused

    run(story())


def test_when_the_queue_is_gone_anybody_is_let_in_again_however_slow_it_was() -> None:
    async def story() -> None:
        turns = Turns(100)
        guests = Guests(turns)
        busy(turns, 190.0)
        await guests.come("a")
        with pytest.raises(Overloaded):
            async with turns.turn():
                pass
        await guests.go("a")
        await guests.come("c")
        assert guests.inside == ["c"]
        await guests.go("c")

    run(story())


def test_a_turn_that_fails_frees_its_place() -> None:
    async def story() -> None:
        turns = Turns(1_000, at_once=1)
        for number in range(5):
            with pytest.raises(ValueError, match=str(number)):
                async with turns.turn():
                    raise ValueError(str(number))
        async with turns.turn():
            assert turns._waiting == 1
        assert turns._waiting == 0

    run(story())


def test_who_gives_up_while_waiting_leaves_the_queue_and_says_nothing_of_its_pace(
    clock: Clock,
) -> None:
    """Callers that hang up together would make a slow house look quick, and it let too many in."""

    async def story() -> None:
        turns = Turns(100_000, at_once=1)
        guests = Guests(turns)
        busy(turns, 30.0)
        await guests.come("a", *(f"g{n}" for n in range(50)), "z")
        clock.pass_ms(1)
        for n in range(50):
            guests.tasks[f"g{n}"].cancel()
        await settle()

        assert turns.expected_ms == pytest.approx(2 * 30.0)
        clock.pass_ms(29)
        await guests.go("a")
        assert guests.inside == ["z"]
        assert turns.expected_ms == pytest.approx(30.0)
        await guests.go("z")

    run(story())


def test_under_twice_the_load_that_fits_who_is_let_in_is_answered_in_time(clock: Clock) -> None:
    """Each turn computes for 5 ms; two come meanwhile; 60 ms are allowed. So half are refused."""
    took_ms: list[float] = []

    async def story() -> int:
        turns = Turns(60, at_once=1)
        guests, came_s = Guests(turns), dict[str, float]()
        for number in range(600):
            for name in (f"a{number}", f"b{number}"):
                came_s[name] = clock.now_s
                await guests.come(name)
            clock.pass_ms(5)
            (name,) = guests.inside  # Nobody computes nothing while there is a queue.
            took_ms.append((clock.now_s - came_s[name]) * 1_000)
            await guests.go(name)
        while guests.inside:
            clock.pass_ms(5)
            await guests.go(guests.inside[0])
        refused = await asyncio.gather(*guests.tasks.values(), return_exceptions=True)
        assert {type(one) for one in refused if one is not None} == {Overloaded}
        assert turns.expected_ms == 0.0
        return turns.refused

    refused = asyncio.run(story())

    assert 570 <= refused < 600  # Of 1,200, less the queue that is left.
    assert max(took_ms) <= 70  # From the first: the guess of 6 ms lets eleven in, 5 ms each.


def test_one_turn_in_which_the_machine_paused_refuses_nobody_after_it(clock: Clock) -> None:
    """By itself it would make the pace 15 + 0.05 * 4,985 = 264 ms, and the next dozen wait."""

    async def story() -> None:
        turns = Turns(150, at_once=1)
        guests = Guests(turns)
        for ms in (*[15] * 20, 5_000):
            await guests.come("a")
            clock.pass_ms(ms)
            await guests.go("a")

        await guests.come("a", "b", "c", "d")

        assert turns.refused == 0
        for name in ("a", "b", "c", "d"):
            await guests.go(name)

    run(story())
