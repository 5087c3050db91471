"""Each part killed or frozen under load: answers go on, name what was missing, and recover.

The figures are printed. Asserted is what callers must never see, and that the deadline holds: p99
within 150 ms, or, on a crowded machine, within three times what the same load takes in peace. That
is measured once, and again where a story went beyond it; then the story is told a second time. A
fault of ours comes again, and a moment in which the machine stood still does not.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Set
from pathlib import Path
from typing import Any

import click
import httpx
import psutil
import pytest

from nearline.embedded.valkey import EmbeddedValkey, free_port
from tests.integration.serving.conftest import Service, cmdline, shop, silent, until

pytestmark = [pytest.mark.ray, pytest.mark.redis, pytest.mark.slow]

CLIENTS, PAUSE_S = 4, 0.1
LONGER_S = 12.0  # Some 500 answers in all, so that no two of them decide what p99 is.
DEADLINE_MS = 150
RETRY_PAUSE_MS = 1_000  # Of HAProxy before it asks another replica, unless told otherwise.
REDIS_AWAY = {"features_unavailable", "exposures_delayed"}
# What a machine does that is crowded beyond its deadlines: said, and no fault of the part killed.
CROWDED = {"features_unavailable", "ranker_unavailable", "deadline"}
# HAProxy hands over to a new configuration, or a replica was killed while it sent an answer: what
# has half gone out cannot be taken back. Clients ask again (tests/integration/client).
HUNG_UP = ("RemoteProtocolError", "ReadError")


class Load:
    """Callers that never stop asking, each again as soon as it was answered and a pause later."""

    def __init__(self, url: str) -> None:
        self._url, self._over = url, False
        self.statuses: Counter[str] = Counter()
        self.degraded: Counter[str] = Counter()
        self.empty = 0
        self.taken_ms: list[float] = []

    def around(self, act: Callable[[], object], after_s: float) -> None:
        """Ask, in a thread, while something happens, and for a time after it."""
        asking = threading.Thread(target=lambda: asyncio.run(self._ask()))
        asking.start()
        try:
            time.sleep(1.0)
            act()
            time.sleep(after_s)
        finally:
            self._over = True
            asking.join()

    async def _ask(self) -> None:
        await asyncio.gather(*(self._call(number) for number in range(CLIENTS)))

    async def _call(self, number: int) -> None:
        async with httpx.AsyncClient(timeout=10, trust_env=False) as client:
            while not self._over:
                question = {"customer_id": f"shopper-{number % 40}", "k": 5}
                started_s = time.perf_counter()
                try:
                    answer = await client.post(self._url, json=question)
                    self.statuses[str(answer.status_code)] += 1
                    if answer.status_code == 200:
                        self.degraded.update(answer.json()["degraded"])
                        self.empty += not answer.json()["items"]
                except httpx.HTTPError as error:
                    self.statuses[type(error).__name__] += 1
                self.taken_ms.append((time.perf_counter() - started_s) * 1_000)
                number += CLIENTS
                await asyncio.sleep(PAUSE_S)

    @property
    def p99_ms(self) -> float:
        return sorted(self.taken_ms)[int(len(self.taken_ms) * 0.99)]

    @property
    def longest_ms(self) -> float:
        return max(self.taken_ms)

    def told(self, what: str) -> str:
        taken = sorted(self.taken_ms)
        return (
            f"{what}: {dict(self.statuses)}, degraded {dict(self.degraded)}, p50 "
            f"{taken[len(taken) // 2]:.0f}, p99 {self.p99_ms:.0f}, longest {self.longest_ms:.0f} ms"
        )


@pytest.fixture(scope="module")
def hurt(tmp_path_factory: pytest.TempPathFactory, tiny: Any) -> Iterator[Any]:
    """A service of this module's own, with the deadlines of production."""
    home = tmp_path_factory.mktemp("ladder")
    with EmbeddedValkey(home / "valkey", free_port()) as valkey:
        running: Any = Service(
            home,
            valkey,
            champion=1,
            NEARLINE_FEATURES_TIMEOUT_MS="60",
            NEARLINE_DEADLINE_MS=str(DEADLINE_MS),
        )
        try:
            running.first = running.healths()
            shop(running, tiny)
            running.calm_p99_ms = in_peace(running).p99_ms
            yield running
        finally:
            running.close()


def in_peace(hurt: Any) -> Load:
    load = Load(f"http://{hurt.host}:{hurt.http_port}/v1/recommend")
    load.around(lambda: None, 3.0)
    return load


def bound_ms(hurt: Any) -> float:
    return max(DEADLINE_MS, 3 * hurt.calm_p99_ms)


def stand(
    hurt: Any, what: str, act: Callable[[], object], capsys: Any, after_s: float = 4.0
) -> Load:
    load = Load(f"http://{hurt.host}:{hurt.http_port}/v1/recommend")
    load.around(act, after_s)
    with capsys.disabled():
        click.echo(f"\n{load.told(what)} (in peace p99 {hurt.calm_p99_ms:.0f} ms)")
    assert load.empty == 0
    assert not [status for status in load.statuses if status.startswith("5")]
    return load


def story(
    hurt: Any,
    what: str,
    act: Callable[[], object],
    capsys: Any,
    *,
    missing: Set[str] = frozenset(),
    after_s: float = 4.0,
    undo: Callable[[], object] = lambda: None,
) -> Load:
    """Everybody is answered, in time, and lacks nothing but this and what crowded machines lack.

    Then all is well again.
    """
    load = stand(hurt, what, act, capsys, after_s)
    undo()
    well_again(hurt)
    if load.p99_ms > bound_ms(hurt):
        hurt.calm_p99_ms = max(hurt.calm_p99_ms, in_peace(hurt).p99_ms)
    if load.p99_ms > bound_ms(hurt):
        load = stand(hurt, f"{what}, again", act, capsys, after_s)
        undo()
        well_again(hurt)
    assert load.p99_ms <= bound_ms(hurt)
    assert load.statuses.keys() <= {"200", "429", *HUNG_UP}, load.statuses
    assert sum(load.statuses[one] for one in HUNG_UP) <= CLIENTS
    assert load.statuses["429"] <= CLIENTS
    assert load.degraded.keys() <= missing | CROWDED
    return load


def named(hurt: Any, words: str) -> psutil.Process:
    return next(one for one in hurt.processes() if words in " ".join(cmdline(one)) and one.pid > 1)


def well_again(hurt: Any) -> None:
    def well() -> bool:
        try:
            if hurt.health()["status"] != "ok":
                return False
            answer = hurt.http.post("/v1/recommend", json={"customer_id": "shopper-1"})
        except (httpx.HTTPError, ValueError):  # HAProxy is not back, or says so in HTML.
            return False
        if answer.status_code != 200:
            return False
        return not answer.json()["degraded"] and bool(answer.json()["items"])

    until(lambda: len(hurt.replicas("Gateway")) == 2)
    until(well)


def test_a_service_that_starts_with_a_champion_is_ready_with_it_in_every_replica(
    hurt: Any,
) -> None:
    assert [health["bundle"] for health in hurt.first] == [*hurt.seeds, *hurt.seeds]


def test_redis_that_hangs_costs_the_features_and_nothing_else(hurt: Any, capsys: Any) -> None:
    def hang() -> None:
        with silent(hurt.valkey):
            time.sleep(3.0)

    load = story(hurt, "Redis hangs for 3 s", hang, capsys, missing=REDIS_AWAY)

    assert load.degraded["features_unavailable"] > 0


def test_redis_that_dies_comes_back_with_everything(hurt: Any, capsys: Any) -> None:
    def die() -> None:
        psutil.Process(hurt.valkey._process.pid).kill()
        hurt.valkey._process.wait()
        time.sleep(2.0)
        hurt.valkey.stop()
        hurt.valkey.start()

    story(hurt, "Redis killed, 2 s later started", die, capsys, missing=REDIS_AWAY)


def test_a_replica_that_dies_is_answered_for_by_the_other(hurt: Any, capsys: Any) -> None:
    def killed(what: str) -> Load:
        return story(hurt, what, lambda: hurt.replica("Gateway").kill(), capsys, after_s=LONGER_S)

    load = killed("a replica killed")
    if load.longest_ms >= RETRY_PAUSE_MS:
        load = killed("a replica killed, again")

    assert load.longest_ms < RETRY_PAUSE_MS


def test_the_watcher_and_the_registry_may_be_gone(hurt: Any, capsys: Any) -> None:
    database = Path(hurt.home) / "mlflow.db"
    away = database.with_suffix(".away")

    def lose() -> None:
        database.rename(away)
        hurt.replica("BundleWatch").kill()

    story(
        hurt,
        "watcher killed, registry gone",
        lose,
        capsys,
        after_s=LONGER_S,
        undo=lambda: away.rename(database),
    )


def test_serves_controller_may_die(hurt: Any, capsys: Any) -> None:
    story(
        hurt,
        "controller killed",
        lambda: named(hurt, "ServeController").kill(),
        capsys,
        after_s=LONGER_S,
    )


def test_a_proxy_that_dies_is_back_within_moments(hurt: Any, capsys: Any) -> None:
    """Nothing can answer while it is gone: connections are refused, and clients try again."""
    load = stand(hurt, "HAProxy killed", named(hurt, "haproxy -").kill, capsys, LONGER_S)

    refused = sum(count for status, count in load.statuses.items() if status != "200")
    assert refused * PAUSE_S / CLIENTS < LONGER_S - 2, load.statuses  # A pause of 5 s included.
    assert load.statuses["200"] > 0
    well_again(hurt)


def test_more_than_it_can_take_is_refused_with_when_to_ask_again_and_then_taken(
    hurt: Any, capsys: Any
) -> None:
    url = f"http://{hurt.host}:{hurt.http_port}/v1/recommend"

    async def flood() -> list[httpx.Response]:
        async with httpx.AsyncClient(
            timeout=30, trust_env=False, limits=httpx.Limits(max_connections=200)
        ) as client:
            ask = (client.post(url, json={"customer_id": f"shopper-{n % 40}"}) for n in range(600))
            return await asyncio.gather(*ask)

    answers = asyncio.run(flood())

    codes = Counter(answer.status_code for answer in answers)
    with capsys.disabled():
        click.echo(f"\n600 questions at once: {dict(codes)}")
    assert set(codes) == {200, 429}, codes
    for answer in answers:
        if answer.status_code == 429:
            assert answer.headers["Retry-After"] == "1"
            assert answer.json()["code"] == "overloaded"
    well_again(hurt)
