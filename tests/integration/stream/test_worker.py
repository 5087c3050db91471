from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from threading import Thread

import pytest
import redis
from prometheus_client import CollectorRegistry

from ingestion.worker.app import wait_out
from ingestion.worker.fold import CUSTOMERS, Part
from ingestion.worker.lease import Leases, this_process
from ingestion.worker.metrics import WorkerMetrics
from ingestion.worker.store import ContendedEntity, OnlineStore
from nearline import keys
from nearline.contracts.position import LogPosition, partition_of, start_of
from nearline.feast_layout import CUSTOMER_VIEW, ITEM_VIEW, REVISION
from nearline.online import Held, customer_fields, parse_customer, parse_item
from nearline.stopping import StopFlag
from nearline.transforms.customer import finish
from tests.integration.stream.parts import (
    ENDED,
    PARTITIONS,
    accepted,
    append,
    drain,
    encoded,
    rows,
    stream,
    without_sequences,
    worker_of,
)
from tests.unit.stream import naive
from tests.unit.stream.made import DAY_US, HOUR_US, NOON_US, event, shop_log

pytestmark = pytest.mark.redis

ADA = partition_of("ada", PARTITIONS)


def views_of(valkey: redis.Redis, customer_id: str = "ada") -> int:
    partition = partition_of(customer_id, PARTITIONS)
    reply = valkey.hmget(CUSTOMER_VIEW.key(customer_id), customer_fields(partition))
    return parse_customer(partition, reply).state.views_total


def total(metrics: WorkerMetrics, name: str) -> float:
    value = getattr(metrics, name).collect()[0].samples[0].value
    return float(value)


@pytest.mark.parametrize("seed", range(3))
def test_what_the_worker_wrote_is_a_naive_recount_byte_for_byte(
    valkey: redis.Redis, seed: int
) -> None:
    log = shop_log(seed, 800)
    sent = random.Random(seed).choices(log, k=300)
    append(valkey, [*log, *sent], batch=90)  # 300 of them come twice.

    drain(worker_of(valkey, page_events=37).step)

    expected = encoded(naive.customers(log), naive.items(log))
    assert without_sequences(rows(valkey)) == expected


def test_the_order_of_arrival_leaves_no_trace(valkey: redis.Redis) -> None:
    log = shop_log(5, 300, customers=3)
    append(valkey, sorted(log, key=lambda one: one.occurred_at_us))
    stream(valkey)
    in_order = without_sequences(rows(valkey))
    valkey.flushall()

    append(valkey, random.Random(5).sample(log, len(log)))
    stream(valkey)

    assert without_sequences(rows(valkey)) == in_order


def test_a_log_applied_again_from_the_start_changes_nothing(valkey: redis.Redis) -> None:
    append(valkey, shop_log(1, 400))
    stream(valkey)
    before = rows(valkey)
    for partition in range(PARTITIONS):
        valkey.delete(keys.applied(partition))
    metrics = WorkerMetrics(CollectorRegistry())

    drain(worker_of(valkey, holder=ENDED, metrics=metrics).step)

    assert rows(valkey) == before
    assert total(metrics, "rows") == 0
    assert total(metrics, "duplicates") > 0


def test_positions_are_recorded_together_and_when_nothing_more_comes(valkey: redis.Redis) -> None:
    worker, store = worker_of(valkey, monotonic=lambda: 0.0), OnlineStore(valkey)
    for number in range(3):
        (position,) = accepted(append(valkey, [event(f"{number}")]))
        worker.step(None)
        assert store.applied(ADA) == start_of(ADA)

    worker.step(None)

    assert store.applied(ADA) == position


def test_of_a_backlog_each_page_is_recorded_before_the_next_is_read(valkey: redis.Redis) -> None:
    worker = worker_of(valkey, page_events=2, monotonic=lambda: 0.0)
    positions = accepted(append(valkey, [event(f"{number}") for number in range(5)]))
    worker.step(None)

    worker.step(None)

    assert OnlineStore(valkey).applied(ADA) == positions[1]


def test_events_that_never_cease_do_not_put_off_the_record(valkey: redis.Redis) -> None:
    times = iter(range(10))
    worker, store = worker_of(valkey, monotonic=lambda: float(next(times))), OnlineStore(valkey)
    (first,) = accepted(append(valkey, [event("1")]))
    worker.step(None)
    append(valkey, [event("2")])

    worker.step(None)

    assert store.applied(ADA) == first


def test_what_was_applied_and_not_recorded_is_read_again_and_changes_nothing(
    valkey: redis.Redis,
) -> None:
    positions = accepted(append(valkey, [event("1"), event("2")]))
    worker_of(valkey, holder=ENDED).step(None)
    before, metrics = rows(valkey), WorkerMetrics(CollectorRegistry())

    drain(worker_of(valkey, holder=ENDED, metrics=metrics).step)

    assert rows(valkey) == before
    assert total(metrics, "rows") == 0
    assert total(metrics, "duplicates") > 0
    assert OnlineStore(valkey).applied(ADA) == positions[-1]


def test_the_position_of_a_customer_is_that_of_the_last_event_that_counted(
    valkey: redis.Redis,
) -> None:
    positions = accepted(
        append(
            valkey,
            [event("1"), event("2"), event("3", type_="identify", name="identify", items=())],
        )
    )
    stream(valkey)

    reply = valkey.hmget(CUSTOMER_VIEW.key("ada"), customer_fields(ADA))

    assert parse_customer(ADA, reply).position == positions[1]
    assert OnlineStore(valkey).applied(ADA) == positions[2]


def test_two_workers_at_once_count_every_event_once(valkey: redis.Redis) -> None:
    log = shop_log(11, 1_500, customers=6, items=8)
    append(valkey, log)
    twins = [worker_of(valkey, holder=ENDED, page_events=23) for _ in range(2)]
    threads = [Thread(target=drain, args=(twin.step,)) for twin in twins]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert without_sequences(rows(valkey)) == encoded(naive.customers(log), naive.items(log))


def test_a_worker_that_was_frozen_and_reads_old_pages_harms_nothing(valkey: redis.Redis) -> None:
    log = shop_log(12, 600, customers=4)
    append(valkey, log[:300])
    zombie = worker_of(valkey, holder=ENDED, page_events=50)
    zombie.step(None)  # It knows a position of long ago ...
    append(valkey, log[300:])
    stream(valkey)  # ... and another finished the work meanwhile.
    before = rows(valkey)

    drain(zombie.step)

    assert rows(valkey) == before
    assert without_sequences(before) == encoded(naive.customers(log), naive.items(log))


class Meddled(OnlineStore):
    """A store into which somebody else commits right after each of the first few reads."""

    def __init__(self, client: redis.Redis, times: int) -> None:
        super().__init__(client)
        self.times, self.client = times, client

    def read(self, parts: Sequence[Part]) -> list[Held]:
        held = super().read(parts)
        if self.times:
            self.times -= 1
            for part in parts:
                self.client.hincrby(part.key, REVISION.decode(), 1)
        return held


def test_a_row_that_changed_since_it_was_read_is_read_again(valkey: redis.Redis) -> None:
    append(valkey, [event("1"), event("2")])
    metrics = WorkerMetrics(CollectorRegistry())

    drain(worker_of(valkey, store=Meddled(valkey, 3), metrics=metrics).step)

    assert views_of(valkey) == 2
    assert total(metrics, "conflicts") == 6  # three times, customer and item


def test_a_row_that_never_stands_still_is_given_up_and_nothing_is_lost(
    valkey: redis.Redis,
) -> None:
    append(valkey, [event("1")])
    worker = worker_of(valkey, store=Meddled(valkey, 10**6), holder=ENDED)

    with pytest.raises(ContendedEntity, match="too many workers"):
        worker.step(None)
    stream(valkey)

    assert views_of(valkey) == 1


def test_a_server_that_forgot_the_script_is_told_again(valkey: redis.Redis) -> None:
    worker = worker_of(valkey)
    append(valkey, [event("1")])
    drain(worker.step)
    append(valkey, [event("2")])
    valkey.script_flush()

    drain(worker.step)

    assert views_of(valkey) == 2


def test_an_unreadable_entry_is_counted_and_passed_over(
    valkey: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    append(valkey, [event("1")])
    for raw in ({"e": b"\xc1secret"}, {"other": b"field"}, {"e": b""}):
        valkey.xadd(keys.log(ADA), raw)
    append(valkey, [event("2")])
    last = valkey.xadd(keys.log(ADA), {"e": b"\x93"})
    metrics = WorkerMetrics(CollectorRegistry())

    read = drain(worker_of(valkey, metrics=metrics, page_events=1).step)

    assert read == 6
    assert views_of(valkey) == 2
    assert total(metrics, "unreadable") == 4
    assert OnlineStore(valkey).applied(ADA) == LogPosition.of(ADA, last)
    assert last.decode() in caplog.text
    assert "secret" not in caplog.text


def test_an_error_is_logged_without_the_customer_whom_it_struck(
    valkey: redis.Redis, caplog: pytest.LogCaptureFixture
) -> None:
    append(valkey, [event("1", customer_id="secret-name")])
    valkey.set(CUSTOMER_VIEW.key("secret-name"), "no hash")
    stopped = StopFlag()
    stopped.set()

    # The client library names the command, and so the key.
    with pytest.raises(redis.ResponseError, match="secret-name") as struck:
        worker_of(valkey).step(None)
    wait_out(struck.value, stopped)

    assert "WRONGTYPE" in caplog.text
    assert "secret-name" not in caplog.text


def test_the_applied_position_never_goes_back(valkey: redis.Redis) -> None:
    store = OnlineStore(valkey)

    for position in (LogPosition(0, 5, 2), LogPosition(0, 5, 1), LogPosition(0, 4, 9)):
        store.advance([position])

    assert store.applied(0) == LogPosition(0, 5, 2)


def test_an_idle_customers_windows_fall_to_zero_without_a_write(valkey: redis.Redis) -> None:
    append(valkey, [event("1", name="purchase", value_cents=700)])
    stream(valkey)
    reply = valkey.hmget(CUSTOMER_VIEW.key("ada"), customer_fields(ADA))
    state = parse_customer(ADA, reply).state

    at_once, later = finish(state, NOON_US), finish(state, NOON_US + HOUR_US)
    much_later = finish(state, NOON_US + 31 * DAY_US)

    assert (at_once["purchases_1h"], at_once["spend_30d_cents"]) == (1, 700)
    assert (later["purchases_1h"], later["purchases_24h"]) == (0, 1)
    assert (much_later["purchases_30d"], much_later["purchases_total"]) == (0, 1)


def test_an_item_bought_by_customers_of_all_partitions_has_them_all(valkey: redis.Redis) -> None:
    people = [f"customer-{n}" for n in range(40)]
    append(valkey, [event(one, customer_id=one, name="purchase") for one in people])

    stream(valkey)

    reply = valkey.hmget(ITEM_VIEW.key("lamp"), ITEM_VIEW.read_fields)
    assert parse_item(reply).purchases_total == 40
    assert len({partition_of(one, PARTITIONS) for one in people}) == PARTITIONS


def test_a_second_worker_waits_and_takes_over_when_the_first_gives_up(
    valkey: redis.Redis,
) -> None:
    first, second = (
        Leases(valkey, "worker", range(PARTITIONS), holder=this_process("worker")) for _ in range(2)
    )

    assert first.tend() == {0, 1, 2}
    assert second.tend(now=True) == set()
    assert second.others == dict.fromkeys(range(PARTITIONS), first.holder)
    first.release()
    assert second.tend(now=True) == {0, 1, 2}


def test_the_lease_of_a_dead_process_is_taken_over_at_once(valkey: redis.Redis) -> None:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    dead = replace(this_process("worker"), pid=child.pid)
    valkey.set(keys.lease(0, "worker"), str(dead))
    leases = Leases(valkey, "worker", [0], holder=this_process("worker"))

    assert leases.tend() == {0}


def test_a_lease_that_lapsed_is_reported_lost_once_before_it_is_held_again(
    valkey: redis.Redis,
) -> None:
    leases = Leases(valkey, "worker", [0, 1], holder=this_process("worker"))
    leases.tend()
    valkey.delete(keys.lease(1, "worker"))

    assert leases.tend(now=True) == {0}
    assert leases.tend() == {0, 1}


def test_a_customer_row_is_read_by_its_view_alone(valkey: redis.Redis) -> None:
    append(valkey, [event("1")])
    valkey.hset(CUSTOMER_VIEW.key("ada"), "another view's field", "stays")

    stream(valkey)

    assert views_of(valkey) == 1
    assert valkey.hget(CUSTOMERS.layout.key("ada"), "another view's field") == b"stays"
