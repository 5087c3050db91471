"""`nearline replay-answer` on a real Valkey: from history and the log behind it, to the byte."""

from __future__ import annotations

import asyncio
import json
import os
import random
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest
import redis
from click.testing import CliRunner

from nearline import keys
from nearline.clock import SystemClock
from nearline.contracts.answer import Degradation, Recommendation, RecommendQuery
from nearline.contracts.event import Event, Line
from nearline.contracts.position import LogPosition, partition_of
from nearline.embedded.valkey import EmbeddedValkey, free_port
from nearline.errors import StoreUnavailable
from nearline.history import archived_positions, rows_in
from nearline.log import EventLog
from nearline.settings import Settings, to_environ
from nearline.transforms.buckets import DAY_US
from serving import replaying
from serving.answers import Answering, Held
from serving.bundles import Shelf
from serving.caps import RedisCaps
from serving.commands import replay_answer
from serving.exposures import Exposures
from serving.features import RedisFeatures, connect
from serving.follow import Follower, RedisItems
from serving.keeping import POLICY, Keeper
from serving.made import bytes_of
from serving.policy.load import shipped
from serving.policy.model import canonical
from serving.remaking import NotRemakable
from serving.replaying import replay
from serving.score_reading import Scores
from serving.served_log import ServedLog
from serving.turns import Turns
from tests.integration.stream.parts import append, archived, stream

pytestmark = pytest.mark.redis

PARTITIONS, CUSTOMERS, ITEMS = 3, 6, 60
QUERIES = (
    RecommendQuery("c1", explain=True),
    RecommendQuery("c2", "guess_you_like", k=12),
    RecommendQuery("c3", "cart", item_ids=("i5", "i6"), exclude_item_ids=("i7",)),
    RecommendQuery("c4", personalized=False),
    RecommendQuery("a stranger"),
    *[RecommendQuery("c5", "push")] * 3,  # Two a day are allowed.
)


@dataclass(frozen=True)
class Told:
    settings: Settings
    answers: list[Recommendation]


def event(rng: random.Random, number: int, at_us: int) -> Event:
    return Event(
        event_id=f"e{number}",
        type="track",
        name=rng.choices(["view_item", "add_to_cart", "purchase"], [8, 2, 1])[0],
        customer_id=f"c{rng.randrange(CUSTOMERS)}",
        occurred_at_us=at_us,
        known_at_us=at_us,
        source="test",
        lines=(Line(f"i{rng.randrange(ITEMS)}", 1, rng.randrange(100, 9_000), "c1"),),
        consent=("analytics", "personalization"),
    )


@pytest.fixture
def told(
    valkey: redis.Redis,
    valkey_server: EmbeddedValkey,
    tiny: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Told:
    """Answers given between a past that lies in history, events on the log, and what came later."""
    settings = Settings(home=tmp_path, redis_url=valkey_server.url, partitions=PARTITIONS)
    bundle = tiny.write(tmp_path / "bundle")
    monkeypatch.setattr(replaying.registry, "download", lambda *_: bundle)
    rng, now_us = random.Random(7), SystemClock().now_us()

    def happen(first: int, count: int, within_us: int) -> None:
        instants = sorted(now_us - rng.randrange(within_us) for _ in range(count))
        events = [event(rng, first + place, at_us) for place, at_us in enumerate(instants)]
        append(valkey, events, PARTITIONS)
        stream(valkey, PARTITIONS)

    happen(0, 300, 20 * DAY_US)
    archived(valkey, settings.history, PARTITIONS)
    happen(1_000, 100, DAY_US)
    popular = [[f"i{row}", f"c{row % 6}", 1_000 + row] for row in range(20)]
    valkey.set(keys.FALLBACK_POPULAR, json.dumps(popular))
    answers = asyncio.run(answered(settings, bundle))
    happen(2_000, 100, DAY_US)
    valkey.delete(keys.FALLBACK_POPULAR)
    return Told(settings, answers)


async def answered(settings: Settings, bundle: Path) -> list[Recommendation]:
    """As a replica does, put together from its parts."""
    client, shelf = connect(settings.redis_address), Shelf()
    shelf.prepare("1", bundle)
    shelf.activate("1")
    assert shelf.current is not None
    finder = shelf.current.finder
    assert finder is not None
    source = RedisItems(client, PARTITIONS)
    follower = Follower(source, PARTITIONS, lambda: finder.catalogue.index_of)
    await follower.step()
    features, turns, keeper = RedisFeatures(client, PARTITIONS, 5_000), Turns(60_000), Keeper()
    exposures = Exposures(EventLog(client, PARTITIONS).append)

    async def nowhere(_: object) -> None: ...

    answering = Answering(
        held=Held(shelf, lambda: follower.table, shipped),
        features=features,
        caps=RedisCaps(client, 5_000),
        scores=Scores(features, shelf, turns),
        exposures=exposures,
        served=ServedLog(nowhere, share=0.0),
        turns=turns,
        clock=SystemClock(),
        entropy=os.urandom,
        keeper=keeper,
        deadline_ms=60_000,
    )
    found = [await answering.recommend(query) for query in QUERIES]
    shelf._current = None  # No bundle: the popular items of the last backfill answer.
    found.append(await answering.recommend(RecommendQuery("c1")))
    keeper.keep(POLICY, canonical(shipped()), shipped().version)
    await keeper.flush(client)
    await exposures.close(10.0)
    await client.aclose()
    return found


def test_every_answer_is_made_again_to_the_byte_from_history_and_the_log(
    told: Told, valkey: redis.Redis
) -> None:
    *_, first, second, third, without = told.answers
    assert [len(answer.items) for answer in (first, second, third)] == [3, 3, 0]
    assert without.degraded == (Degradation.BUNDLE_UNAVAILABLE,)
    assert without.items
    for answer in told.answers:
        found = replay(told.settings, answer.response_id)
        assert found.equal, found.difference
        assert bytes_of(found.answer) == bytes_of(answer)
        assert found.events > 400  # History, and the log behind it.

    archived(valkey, told.settings.history, PARTITIONS)
    for partition in range(PARTITIONS):
        valkey.xtrim(keys.log(partition), maxlen=0)
    for answer in told.answers:  # From history alone, the exposure too.
        assert replay(told.settings, answer.response_id).equal


def test_the_command_ends_with_0_for_the_same_bytes_and_with_1_for_others(
    told: Told, valkey: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in to_environ(told.settings).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("NEARLINE_LANG", "en")
    wanted = told.answers[0]

    same = CliRunner().invoke(replay_answer, [wanted.response_id, "--json"])

    assert same.exit_code == 0, same.output
    assert bytes_of(wanted).decode() in same.output
    assert "The same, byte for byte" in same.output

    stated = b'"category_share":0.3'
    assert canonical(shipped()).count(stated) == 1
    other = canonical(shipped()).replace(stated, b'"category_share":0.1')
    valkey.set(keys.kept(POLICY, wanted.versions.rules), other)  # Other rules than it was made by.
    differs = CliRunner().invoke(replay_answer, [wanted.response_id])

    assert differs.exit_code == 1
    assert "DIFFERENT: from place" in differs.output


def test_what_cannot_be_made_again_says_why(told: Told, valkey: redis.Redis) -> None:
    known = told.answers[0].response_id

    for wrong in ("no id", "x" * 32):
        with pytest.raises(NotRemakable, match="no response id"):
            replay(told.settings, wrong)
    with pytest.raises(NotRemakable, match="neither the log nor history knows it"):
        replay(told.settings, known[:12] + "0" * 20)
    valkey.delete(keys.kept(POLICY, told.answers[0].versions.rules))
    with pytest.raises(NotRemakable, match="no longer kept"):
        replay(told.settings, known)


def test_a_stretch_that_log_and_history_lack_is_not_passed_over(
    told: Told, valkey: redis.Redis
) -> None:
    """Without it the answer would come out another one, and nothing would say why."""
    known = told.answers[0].response_id
    lacking = told.settings.history.with_name("away")
    told.settings.history.rename(lacking)
    assert replay(told.settings, known).equal  # The log still holds all of it.

    for partition in range(PARTITIONS):
        end = archived_positions(lacking.glob("day=*/*"))[partition]
        valkey.xtrim(keys.log(partition), minid=end.stream_id, approximate=False)
    with pytest.raises(NotRemakable, match=r"no longer hold all of that\. Restore .*history"):
        replay(told.settings, known)

    lacking.rename(told.settings.history)
    assert replay(told.settings, known).equal
    others = [one for one in range(PARTITIONS) if one != partition_of("c1", PARTITIONS)]
    valkey.delete(keys.log(others[0]))
    with pytest.raises(NotRemakable, match=f"it had seen partition {others[0]} up to"):
        replay(told.settings, known)


@pytest.mark.parametrize("trimmed", [False, True])
def test_a_file_that_history_has_lost_is_told_as_that_and_not_as_another_answer(
    told: Told, valkey: redis.Redis, trimmed: bool
) -> None:
    """History goes as far as before, so only a count can tell."""
    known, history = told.answers[0], told.settings.history
    archived(valkey, history, PARTITIONS)
    if trimmed:
        for partition in range(PARTITIONS):
            valkey.xtrim(keys.log(partition), maxlen=5, approximate=False)
    held = canonical(shipped())
    policy = keys.kept(POLICY, known.versions.rules)
    valkey.set(policy, held.replace(b'"category_share":0.3', b'"category_share":0.1'))
    assert not replay(told.settings, known.response_id).equal  # Other rules, and all events.

    valkey.set(policy, held)
    owner = partition_of("c1", PARTITIONS)
    before = LogPosition.parse(known.receipt.log_position)
    there = list(history.glob(f"day=*/log-{owner}_*.parquet"))
    lost = [path for path in there if archived_positions([path])[owner] < before]
    lacks, whole = (sum(map(rows_in, paths)) for paths in (lost, there))
    for path in lost:
        path.unlink()

    with pytest.raises(
        NotRemakable, match=f"history lacks {lacks} of {whole} events of partition {owner}"
    ):
        replay(told.settings, known.response_id)


def test_what_it_cannot_do_is_said_in_the_readers_language(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEARLINE_LANG", "zh")

    with pytest.raises(NotRemakable, match="无法重新生成：这不是答案编号"):
        replay(told.settings, "no id")


def test_a_redis_that_is_down_is_told_as_that(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, redis_url=f"redis://127.0.0.1:{free_port()}/0")

    with pytest.raises(StoreUnavailable, match="did not answer"):
        replay(settings, "01a1fb3e35f4c7a2c93d0b6f4e1a8d25")
