from __future__ import annotations

import asyncio

import pytest
import redis
import redis.asyncio

from nearline import keys
from nearline.clock import Clock, FixedClock
from nearline.contracts.event import Event, Purpose
from nearline.contracts.position import start_of
from nearline.contracts.verdict import Outcome, Verdict
from nearline.errors import PermanentError
from nearline.log import (
    ConsentRefusal,
    EventLog,
    Rejection,
    Submission,
    claim_partitions,
    read_after,
)
from nearline.transforms.buckets import DAY_US, HOUR_US


def event(event_id: str, customer_id: str = "ada") -> Event:
    return Event(
        event_id=event_id,
        type="track",
        name="view_item",
        customer_id=customer_id,
        occurred_at_us=1,
        known_at_us=1,
        source="test",
        consent=(Purpose.PERSONALIZATION,),
    )


def append(
    valkey: redis.Redis, batch: list[Submission], clock: Clock | None = None
) -> tuple[list[Verdict], dict[str, int]]:
    async def go() -> tuple[list[Verdict], dict[str, int]]:
        port = valkey.connection_pool.connection_kwargs["port"]
        async with redis.asyncio.Redis(port=port) as client:
            log = EventLog(client, 2, clock)
            return await log.append(batch), await log.counts()

    return asyncio.run(go())


def test_each_event_of_a_batch_gets_its_own_verdict_and_the_law_holds(valkey: redis.Redis) -> None:
    verdicts, counts = append(
        valkey,
        [
            event("1"),
            event("1"),
            Rejection("no_user", "say who it was", b"{}"),
            ConsentRefusal("consent_missing", "ask first"),
            event("2", "bob"),
        ],
    )

    assert [verdict.outcome for verdict in verdicts] == [
        Outcome.ACCEPTED,
        Outcome.DUPLICATE,
        Outcome.REJECTED,
        Outcome.CONSENT_REFUSED,
        Outcome.ACCEPTED,
    ]
    assert counts == {
        "received": 5,
        "stored": 2,
        "duplicate": 1,
        "rejected": 1,
        "consent_refused": 1,
    }


def test_what_was_accepted_reads_back_in_order_at_the_position_of_its_verdict(
    valkey: redis.Redis,
) -> None:
    sent = [event(str(number)) for number in range(5)]
    verdicts, _ = append(valkey, list(sent))
    partition = verdicts[0].position.partition if verdicts[0].position else -1

    read = read_after(valkey, {partition: start_of(partition)}, count=10, block_ms=None)

    assert [entry.event for entry in read[partition]] == sent
    assert [entry.position for entry in read[partition]] == [v.position for v in verdicts]


def test_a_log_of_no_partitions_is_refused_before_it_is_fixed_for_ever(valkey: redis.Redis) -> None:
    with pytest.raises(PermanentError, match="NEARLINE_PARTITIONS=0"):
        claim_partitions(valkey, 0)

    assert not valkey.exists(keys.META)
    claim_partitions(valkey, 4)


MIDNIGHT_US = 20_000 * DAY_US


@pytest.mark.parametrize("hour", [0, 23])
def test_an_id_is_known_for_seven_full_days_at_least_and_forgotten_in_the_end(
    valkey: redis.Redis, hour: int
) -> None:
    clock = FixedClock(MIDNIGHT_US + hour * HOUR_US)

    def outcome(days: int) -> Outcome:
        clock.instant_us = MIDNIGHT_US + hour * HOUR_US + days * DAY_US
        return append(valkey, [event("1")], clock)[0][0].outcome

    assert [outcome(days) for days in range(9)] == [Outcome.ACCEPTED] + [Outcome.DUPLICATE] * 8
    # Redis drops the set by itself after that.
    (seen,) = valkey.scan_iter("*:seen:*")
    assert 8 * 86_400 < valkey.ttl(seen) <= 9 * 86_400
    assert outcome(9) is Outcome.ACCEPTED


def test_at_midnight_an_id_is_known_also_to_a_collector_whose_clock_is_behind(
    valkey: redis.Redis,
) -> None:
    ahead, behind = FixedClock(MIDNIGHT_US + 1), FixedClock(MIDNIGHT_US - 1)

    first = append(valkey, [event("1")], ahead)[0][0]
    again = append(valkey, [event("1")], behind)[0][0]

    assert (first.outcome, again.outcome) == (Outcome.ACCEPTED, Outcome.DUPLICATE)
