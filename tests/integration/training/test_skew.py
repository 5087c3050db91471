"""What rankers saw equals what training computes, while events arrive; and what does not, shows."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import random
import stat
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import msgspec
import numpy as np
import pytest
import redis
import redis.asyncio
from click.testing import CliRunner

from nearline import keys, served_files
from nearline.clock import SystemClock
from nearline.contracts.answer import RecommendQuery
from nearline.contracts.event import Event, Line
from nearline.embedded.valkey import EmbeddedValkey, free_port
from nearline.log import EventLog
from nearline.served import Served, rows_as_bytes
from nearline.settings import Settings
from nearline.transforms.buckets import DAY_US, HOUR_US
from nearline.transforms.customer import CustomerState
from nearline.transforms.item import ItemState
from nearline.transforms.ranking import RANKER_FEATURES
from serving.answers import Answering, Held
from serving.bundles import Shelf
from serving.caps import MemoryCaps
from serving.exposures import Exposures
from serving.features import RedisFeatures, connect
from serving.follow import Follower, RedisItems
from serving.keeping import Keeper
from serving.policy.load import shipped
from serving.score_reading import Scores
from serving.served_log import ServedLog, appending
from serving.turns import Turns
from tests.integration.stream.parts import archived, drain, stream, worker_of
from training.skew import vectors
from training.skew.commands import skew as command
from training.skew.compare import Skew, compare
from training.skew.coverage import covered_until_us
from training.states import FeastStates, States

pytestmark = [pytest.mark.slow, pytest.mark.redis]

PARTITIONS, CUSTOMERS, ITEMS = 3, 12, 60
WHILE_LIVE, WHILE_WAITING = 210, 10  # answers
EVER_US = 2**62


@dataclass(frozen=True)
class Shop:
    """A shop that has answered while events arrived; the log lies in history by now."""

    settings: Settings
    states: FeastStates
    records: list[Served]
    exact: int

    def compare(self, records: Sequence[Served], states: States | None = None) -> Skew:
        return compare(records, states or self.states, self.settings.history, EVER_US)


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    home = tmp_path_factory.mktemp("skew")
    with EmbeddedValkey(home / "valkey", free_port()) as server:
        settings = Settings(home=home, redis_url=server.url, partitions=PARTITIONS)
        client = redis.Redis.from_url(server.url)
        client.config_set("appendfsync", "no")  # Nobody pulls a plug here, and disks are slow.
        exact = asyncio.run(live(server.url, client, tiny().write(home / "bundle")))
        archived(client, settings.history, PARTITIONS)
        served_files.archive(client, settings.served)
        assert client.xlen(keys.SERVED) == 0
        client.close()
        records = list(served_files.read(settings.served))
        yield Shop(settings, FeastStates.open(settings, lambda _: None), records, exact)


async def live(url: str, client: redis.Redis, bundle: Path) -> int:
    """A past, a stream worker in a thread, events and questions side by side.

    Returns how many answers could name every event of theirs.
    """
    rng, clock = random.Random(5), SystemClock()
    connection = connect(url)
    log, side = EventLog(connection, PARTITIONS), Side(connection, bundle)
    now_us = clock.now_us()
    past = sorted(rng.randrange(now_us - 35 * DAY_US, now_us - HOUR_US) for _ in range(600))
    for start in range(0, len(past), 100):
        await log.append(
            [event(rng, n, at_us) for n, at_us in enumerate(past[start:][:100], start)]
        )
    stream(client, PARTITIONS)
    await side.follower.step()
    # Events that no worker applies before the answers: delay, told apart from skew.
    for number in range(WHILE_WAITING):
        await log.append([event(rng, 1_000 + number, clock.now_us(), "c1")])
        await side.recommend(RecommendQuery("c1", k=5))
    stop = threading.Event()
    worker = threading.Thread(target=apply, args=(url, stop))
    worker.start()
    following = asyncio.create_task(side.follow())
    try:
        for number in range(WHILE_LIVE):
            query = RecommendQuery(f"c{rng.randrange(CUSTOMERS)}", exclude_item_ids=("i7", "i8"))
            happens = event(rng, 2_000 + number, clock.now_us())
            if number % 3:  # The answer and the event meet somewhere in the store.
                await asyncio.gather(log.append([happens]), side.recommend(query))
            else:
                await log.append([happens])
                await applied(connection)
                await side.follower.step()
                await side.recommend(query)
        await side.recommend(RecommendQuery("a stranger"))
        await side.recommend(RecommendQuery("c2", as_of_us=now_us - DAY_US))
        await side.served.close(limit_s=20)
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        stop.set()
        worker.join()
        await connection.aclose()
    stream(client, PARTITIONS)
    return side.exact


async def applied(connection: redis.asyncio.Redis) -> None:
    """Wait until the worker has nothing left to do."""
    for partition in range(PARTITIONS):
        ((last, _),) = await connection.xrevrange(keys.log(partition), count=1)
        while await connection.get(keys.applied(partition)) != last:
            await asyncio.sleep(0.002)


def apply(url: str, stop: threading.Event) -> None:
    with redis.Redis.from_url(url) as client:
        worker = worker_of(client, partitions=PARTITIONS, page_events=20)
        while not stop.is_set():
            drain(worker.step)
            stop.wait(0.002)


def event(rng: random.Random, number: int, at_us: int, who: str | None = None) -> Event:
    """One event; some late, some of several items, some refused to personalization."""
    late_us = rng.choice([0, 0, rng.randrange(2 * DAY_US)])
    allowed = ("analytics", "personalization") if rng.random() < 0.95 else ("analytics",)
    return Event(
        event_id=f"e{number}",
        type="track",
        name=rng.choices(["view_item", "add_to_cart", "purchase", "item_listed"], [8, 2, 1, 1])[0],
        customer_id=who or f"c{rng.randrange(CUSTOMERS)}",
        occurred_at_us=at_us - late_us,
        known_at_us=at_us,
        source="test",
        lines=tuple(
            Line(
                f"i{rng.randrange(ITEMS)}",
                1,
                rng.choice([None, rng.randrange(100, 9_000)]),
                rng.choice([None, "c1", "c2"]),
            )
            for _ in range(rng.choice([1, 1, 3]))
        ),
        consent=allowed,
    )


class Side:
    """The answering side, put together as a replica does; what it must have kept is counted."""

    def __init__(self, connection: redis.asyncio.Redis, bundle: Path) -> None:
        features, shelf = RedisFeatures(connection, PARTITIONS, timeout_ms=5_000), Shelf()
        shelf.prepare("1", bundle)
        shelf.activate("1")
        assert shelf.current is not None
        finder = shelf.current.finder
        assert finder is not None
        self.follower = Follower(
            RedisItems(connection, PARTITIONS), PARTITIONS, lambda: finder.catalogue.index_of
        )
        self.served = ServedLog(appending(connection), share=1.0)
        self.exact = 0
        turns = Turns(60_000)

        async def nowhere(_: object) -> None: ...

        self._answering = Answering(
            held=Held(shelf, lambda: self.follower.table, shipped),
            features=features,
            caps=MemoryCaps(),
            scores=Scores(features, shelf, turns),
            exposures=Exposures(nowhere),
            served=self.served,
            turns=turns,
            clock=SystemClock(),
            entropy=os.urandom,
            keeper=Keeper(),
            deadline_ms=60_000,
        )

    async def recommend(self, query: RecommendQuery) -> None:
        answer = await self._answering.recommend(query)
        told = bool(answer.receipt.item_positions and answer.receipt.log_position)
        self.exact += told and query.as_of_us is None

    async def follow(self) -> None:
        while True:
            await self.follower.step()
            await asyncio.sleep(0.005)


def tiny() -> ModuleType:
    path = Path(__file__).parents[2] / "unit" / "serving" / "tiny.py"
    spec = importlib.util.spec_from_file_location("nearline_tests_tiny_for_skew", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_answers_given_while_events_arrive_have_no_skew(shop: Shop) -> None:
    found = shop.compare(shop.records)

    # Neither the stranger nor the past one, nor one whose items were read amid a commit.
    assert found.answers == shop.exact
    assert 0.9 * (WHILE_LIVE + WHILE_WAITING) < shop.exact <= WHILE_LIVE + WHILE_WAITING
    assert found.mismatched == 0, (found.by_feature, found.examples)
    assert found.exact + found.delayed == found.answers
    assert found.exact > WHILE_LIVE // 4
    assert found.delayed >= WHILE_WAITING - 1  # an event may change nothing, refused as it is
    assert all(delay_us >= 0 for delay_us in found.delays_us)
    assert found.values == found.rows * len(RANKER_FEATURES)


def test_one_bit_in_one_row_is_found_by_its_feature(shop: Shop) -> None:
    record = shop.records[-1]
    rows = record.matrix()
    place = RANKER_FEATURES.index("item_age_days")
    row = int(np.flatnonzero(~np.isnan(rows[:, place]))[0])
    rows[row, place] = np.nextafter(rows[row, place], np.float32(np.inf))

    found = shop.compare([msgspec.structs.replace(record, rows=rows_as_bytes(rows))])

    assert (found.mismatched, dict(found.by_feature)) == (1, {"item_age_days": 1})
    example = found.examples["item_age_days"]
    assert example.side == "serving"
    assert example.found > example.expected


def test_a_transform_that_differs_between_the_two_sides_is_found(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = vectors.assemble

    def in_whole_cents(*args: object) -> vectors.FloatCF:
        rows = honest(*args)  # type: ignore[arg-type]
        place = RANKER_FEATURES.index("customer_price_affinity_cents")
        rows[:, place] = np.round(rows[:, place])
        return rows

    monkeypatch.setattr(vectors, "assemble", in_whole_cents)

    found = shop.compare(shop.records[-20:])

    assert found.mismatched > 0
    assert set(found.by_feature) == {"customer_price_affinity_cents"}


def test_offline_rows_that_see_the_future_are_blamed(shop: Shop) -> None:
    @dataclass(frozen=True)
    class Late:
        honest: States

        def customers(self, ids: Sequence[str], as_of_us: Sequence[int]) -> list[CustomerState]:
            return self.honest.customers(ids, [at_us + HOUR_US for at_us in as_of_us])

        def items(self, ids: Sequence[str], as_of_us: Sequence[int]) -> list[ItemState]:
            return self.honest.items(ids, as_of_us)

    found = shop.compare(shop.records[WHILE_WAITING:][:40], Late(shop.states))

    assert found.mismatched > 20
    assert {example.side for example in found.examples.values()} == {"offline"}


def test_a_store_that_claims_to_have_applied_what_it_had_not_is_blamed(shop: Shop) -> None:
    """The delayed answers hold older rows; with later positions they would have no excuse."""
    delayed = shop.records[WHILE_WAITING - 3 : WHILE_WAITING]
    claimed = [
        msgspec.structs.replace(
            one,
            customer_position=f"{one.customer_position.split('-')[0]}-{2**41}-0",
            item_positions=tuple(
                tuple(f"{p}-{2**41}-0" for p in range(PARTITIONS)) for _ in one.item_ids
            ),
        )
        for one in delayed
    ]

    found = shop.compare(claimed)

    assert shop.compare(delayed).delayed == len(delayed)
    assert found.mismatched == len(delayed)
    assert {example.side for example in found.examples.values()} == {"serving"}


def test_vectors_of_other_code_too_new_or_cut_off_are_left_out_and_counted(shop: Shop) -> None:
    record = shop.records[-1]
    changed = [
        msgspec.structs.replace(record, features_hash="other"),
        msgspec.structs.replace(record, as_of_us=EVER_US + 1),
        msgspec.structs.replace(record, rows=record.rows[:-4]),
    ]

    found = shop.compare(changed)

    assert (found.other_features, found.too_new, found.unreadable) == (1, 1, 1)
    assert found.answers == 0


def test_history_reaches_as_far_as_nothing_waits_on_the_log(shop: Shop) -> None:
    now_us = SystemClock().now_us()
    with redis.Redis.from_url(shop.settings.redis_address) as client:
        assert covered_until_us(client, shop.settings.history, PARTITIONS, now_us) == (
            now_us - 5_000_000
        )

        first_us = min(
            covered_until_us(client, shop.settings.home / "none", PARTITIONS, now_us), now_us
        )
    assert first_us < now_us - 30 * DAY_US  # the oldest event of the past


def test_the_files_are_their_owners_alone_and_name_the_customer_in_a_column(shop: Shop) -> None:
    import pyarrow.parquet as pq

    (path, *_) = shop.settings.served.glob("day=*/*.parquet")

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert set(pq.read_table(path, columns=["customer_id"])["customer_id"].to_pylist()) <= {
        f"c{n}" for n in range(CUSTOMERS)
    }


def test_the_command_prints_the_figures_and_fails_on_a_mismatch(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {
        "HOME": shop.settings.home,
        "REDIS_URL": shop.settings.redis_url,
        "PARTITIONS": PARTITIONS,
        "LANG": "en",
    }.items():
        monkeypatch.setenv(f"NEARLINE_{name}", str(value))
    monkeypatch.setattr("training.skew.coverage.GRACE_US", 0)

    good = CliRunner().invoke(command, ["--hours", "1"])

    assert good.exit_code == 0, good.output
    assert "mismatches: 0 answers" in good.output
    rows = shop.records[0].matrix()
    rows[0, 0] += 1
    planted = msgspec.structs.replace(
        shop.records[0], response_id="planted", rows=rows_as_bytes(rows)
    )
    day = next(iter(shop.settings.served.glob("day=*"))).name
    path = shop.settings.served / day / "served-planted.parquet"
    served_files.write(path, [planted])

    bad = CliRunner().invoke(command, ["--hours", "1"])
    path.unlink()

    assert bad.exit_code == 1
    assert "mismatches: 1 answers" in bad.output
    assert f"{RANKER_FEATURES[0]}: 1 values; serving has" in bad.output
    assert "planted" not in bad.output
    assert not any(f"c{n} " in bad.output for n in range(CUSTOMERS))
