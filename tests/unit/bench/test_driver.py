"""The load generator with answers of its own: what is counted, and from when."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from nearline.bench import driver
from nearline.bench.asking import FAILED, Asker, Reply
from nearline.bench.driver import _closed, _Log, _open
from nearline.bench.jobs import Job, Open, Outcome, Stream, Tick


def closed(ask: object, clients: int, seconds: float = 1.0) -> _Log:
    log = _Log()
    asyncio.run(_closed(Asker(ask), clients, seconds, 0, log))  # type: ignore[arg-type]
    return log


def test_in_a_closed_loop_as_many_ask_at_once_as_there_are_clients() -> None:
    asking, most = 0, 0

    async def ask(number: int) -> Reply:
        nonlocal asking, most
        asking += 1
        most = max(most, asking)
        await asyncio.sleep(0.01)
        asking -= 1
        return Reply()

    log = closed(ask, clients=4)

    assert most == 4
    assert len(log.answers_ms) > 4


def test_clients_of_a_closed_loop_share_the_numbers_out() -> None:
    seen: list[int] = []

    async def ask(number: int) -> Reply:
        seen.append(number)
        await asyncio.sleep(0.01)
        return Reply()

    closed(ask, clients=3)

    assert len(seen) == len(set(seen))


def test_refusals_and_failures_are_no_answers() -> None:
    async def ask(number: int) -> Reply:
        await asyncio.sleep(0.01)
        return (Reply(), Reply(answered=False, refused=True), FAILED)[number % 3]

    log = closed(ask, clients=1)

    assert min(len(log.answers_ms), log.refused, log.failed) > 0


def test_a_refused_client_waits_as_long_as_it_is_told() -> None:
    asked = 0

    async def ask(number: int) -> Reply:
        nonlocal asked
        asked += 1
        return Reply(answered=False, refused=True, waited_s=60.0)

    log = closed(ask, clients=2, seconds=0.1)

    assert (asked, log.refused) == (2, 2)


def test_in_an_open_loop_a_standstill_counts_for_all_who_were_due() -> None:
    """One lock that is held for 0.3 s: a closed loop of one would see one slow answer."""
    log = _Log()

    async def run() -> None:
        lock = asyncio.Lock()

        async def ask(number: int) -> Reply:
            async with lock:
                await asyncio.sleep(0.3 if number == 0 else 0.0)
            return Reply()

        await _open(Asker(ask), Open(100.0, 0.25, seed=1), 0, log)

    asyncio.run(run())

    assert len(log.answers_ms) > 10
    assert sum(took > 50 for took in log.answers_ms) > len(log.answers_ms) / 2


def test_an_open_loop_asks_as_often_as_it_should_on_average() -> None:
    log = _Log()

    async def ask(number: int) -> Reply:
        return Reply()

    asyncio.run(_open(Asker(ask), Open(1_000.0, 0.5, seed=3), 0, log))

    assert 400 < len(log.answers_ms) < 600  # 500 on average, standard deviation 22


def test_what_is_prepared_is_not_counted() -> None:
    log = _Log()

    async def prepare(number: int) -> None:
        await asyncio.sleep(0.1)

    async def ask(number: int) -> Reply:
        return Reply(changed=True)

    asyncio.run(_open(Asker(ask, prepare), Open(20.0, 0.5, seed=3), 0, log))

    assert log.answers_ms
    assert min(log.answers_ms) < 50
    assert log.changed == len(log.answers_ms)


def test_the_generator_answers_a_job_with_one_outcome(capsys: pytest.CaptureFixture[str]) -> None:
    driver._say(Tick(1.0))
    driver._say(Outcome([], 0.5))

    tick, outcome = capsys.readouterr().out.splitlines()
    assert msgspec.json.decode(tick, type=Tick) == Tick(1.0)
    assert msgspec.json.decode(outcome, type=Outcome) == Outcome([], 0.5)


def test_a_job_travels_as_json() -> None:
    from nearline.bench.jobs import AskGrpc, AskHttp, Closed, Follow, Look

    look = Look("http://c", "key", ["a"], [], 1)
    job = Job(
        [
            Stream("a", AskHttp("http://a", ["x"], 10), Closed(8, 2.0)),
            Stream("b", AskGrpc("a:1", ["x"], 10), Open(50.0, 2.0, 7)),
            Stream("c", Follow(look, "http://a", 10), Open(5.0, 2.0, 7)),
            Stream("d", look, Open(200.0, 2.0, 7), warm_up=0),
        ]
    )

    assert msgspec.json.decode(msgspec.json.encode(job), type=Job) == job
