"""The rhythm of a replay, and what is sent, on a clock that stands still."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
import pytest

from ingestion.connectors.convert import Converter
from ingestion.connectors.delivery import Delivery
from ingestion.connectors.mapping import Mapping
from ingestion.connectors.pace import batches
from ingestion.connectors.replay import Replay
from ingestion.connectors.rows import Micros, Row
from nearline.client.errors import Refused
from nearline.client.exchange import Again, BodyRefused, Delivered, Reply, Stop
from nearline.clock import FixedClock, micros
from nearline.contracts.event import Event
from nearline.contracts.verdict import Outcome, Verdict
from nearline.errors import PermanentError

S = 1_000_000
THEN_US = 1_511_658_000 * S
NOW_US = 1_793_491_200 * S
MAPPING = Mapping(
    name="log",
    columns={name: name for name in ("customer_id", "item_id", "event", "time")},
    events={"view": "view_item"},
    consent=("analytics", "personalization"),
)


def at(second: float) -> Event:
    us = THEN_US + round(second * S)
    return Event(
        event_id="e", type="track", name="view_item", customer_id="c",
        occurred_at_us=us, known_at_us=us, source="log",
    )  # fmt: skip


def rows(*seconds: float) -> list[Row]:
    return [
        Row(number, ("c1", "i1", "view", Micros(THEN_US + round(second * S))), None)
        for number, second in enumerate(seconds, start=1)
    ]


class Collector:
    """Answers each batch with what the script says, else accepts it; takes 0.05 s."""

    def __init__(self, clock: FixedClock, *script: Reply) -> None:
        self.clock, self.script = clock, list(script)
        self.calls: list[tuple[int, list[dict[str, Any]]]] = []

    def __call__(self, encoded: Sequence[bytes], timeout_s: float, /) -> Reply:
        calls = [msgspec.json.decode(message) for message in encoded]
        self.calls.append((self.clock.now_us(), calls))
        self.clock.advance(50_000)
        if self.script:
            return self.script.pop(0)
        return Delivered([Verdict(Outcome.ACCEPTED, call["messageId"]) for call in calls])


class Stage:
    """A replay on a fixed clock: waiting moves the clock."""

    def __init__(self, *script: Reply, stop_after_waits: int | None = None) -> None:
        self.clock = FixedClock(NOW_US)
        self.collector = Collector(self.clock, *script)
        self.waits_left = stop_after_waits
        self.delivery = Delivery(self.collector, self.wait, random.Random(1))
        self.replay = Replay(self.delivery, self.clock, self.wait, run="r1")

    def wait(self, seconds: float) -> bool:
        if self.waits_left is not None:
            self.waits_left -= 1
            if self.waits_left < 0:
                return True
        self.clock.advance(round(seconds * S))
        return False

    def play(self, *seconds: float, speed: float = 1.0, limit: int | None = None) -> bool:
        converter = Converter(MAPPING, "log", NOW_US)
        return self.replay.play(rows(*seconds), converter, speed=speed, limit=limit)


def test_a_batch_holds_what_falls_within_a_fifth_of_a_second_at_the_replays_speed() -> None:
    recorded = [(1, at(0)), (2, at(10)), (3, at(12)), (4, at(13)), (5, at(60))]

    made = list(batches(recorded, speed=60))

    assert [batch.rows for batch in made] == [(1, 2, 3), (4,), (5,)]
    assert [batch.due_us for batch in made] == [200_000, 216_667, 1_000_000]


def test_a_batch_never_holds_more_than_200() -> None:
    made = list(batches([(row, at(0)) for row in range(1, 451)], speed=1))

    assert [len(batch.events) for batch in made] == [200, 200, 50]


def test_an_event_that_the_log_holds_too_late_goes_with_the_one_before() -> None:
    made = list(batches([(1, at(0)), (2, at(5)), (3, at(1)), (4, at(6))], speed=1))

    assert [batch.offsets_us for batch in made] == [(0,), (5 * S, 5 * S), (6 * S,)]


def test_batches_are_sent_in_the_recorded_rhythm_and_occur_when_they_are_sent() -> None:
    stage = Stage()

    assert stage.play(0, 3, 3.1, 60, speed=2)

    sent = [(at_us - NOW_US) / S for at_us, _ in stage.collector.calls]
    assert sent == [0, 1.55, 30]
    for at_us, calls in stage.collector.calls:
        assert micros(datetime.fromisoformat(calls[-1]["timestamp"])) == at_us
    _, second = stage.collector.calls[1]
    first_of_two, last_of_two = (
        micros(datetime.fromisoformat(call["timestamp"])) for call in second
    )
    assert last_of_two - first_of_two == 50_000  # 0.1 s at twice the speed


def test_a_clock_that_is_set_back_does_not_stop_a_replay() -> None:
    stage = Stage()
    waited: list[float] = []

    def wait(seconds: float) -> bool:
        if not waited:
            stage.clock.advance(-3_600 * S)
        waited.append(seconds)
        return stage.wait(seconds)

    Replay(stage.delivery, stage.clock, wait, run="r1").play(
        rows(0, 3, 9), Converter(MAPPING, "log", NOW_US), speed=1.0
    )

    assert waited == [0, 3, 6]


def test_calls_name_customer_item_consent_and_an_id_of_run_and_row() -> None:
    stage = Stage()
    stage.play(0)

    ((_, (call,)),) = stage.collector.calls
    assert call["messageId"] == "r1-1"
    assert call["userId"] == "c1"
    assert call["event"] == "view_item"
    assert call["properties"]["items"] == [{"item_id": "i1", "quantity": 1}]
    assert call["context"]["consent"]["categoryPreferences"] == {
        "analytics": True,
        "personalization": True,
        "marketing": False,
    }


def test_an_overloaded_collector_is_asked_again_with_the_same_ids_and_what_is_overdue_follows() -> (
    None
):
    stage = Stage(Again("HTTP 429", 2.0), Again("HTTP 503"))

    assert stage.play(0, 1, 10)

    ids = [[call["messageId"] for call in calls] for _, calls in stage.collector.calls]
    assert ids == [["r1-1"], ["r1-1"], ["r1-1"], ["r1-2"], ["r1-3"]]
    times = [(at_us - NOW_US) / S for at_us, _ in stage.collector.calls]
    assert times[1] - times[0] >= 2.0  # what the server asked for
    assert times[3] < times[2] + 0.1  # due at 1 s, sent at once
    assert times[4] == 10
    assert stage.delivery.tally.retries == 2
    assert stage.delivery.tally.outcomes == {Outcome.ACCEPTED: 3}
    assert stage.replay.progress.largest_lag_ms > 1_000


def test_ctrl_c_between_batches_ends_with_the_row_to_go_on_from() -> None:
    stage = Stage(stop_after_waits=2)

    assert not stage.play(0, 5, 10, 15)

    assert stage.replay.progress.sent == 2
    assert stage.replay.progress.next_row == 3


def test_ctrl_c_while_the_collector_is_away_ends_at_once() -> None:
    stage = Stage(Again("ConnectError"), stop_after_waits=1)

    assert not stage.play(0, 5)

    assert stage.replay.progress.sent == 0
    assert stage.replay.progress.next_row == 1


def test_a_limit_counts_events_that_are_sent() -> None:
    stage = Stage()

    assert stage.play(0, 1, 2, 3, limit=2)

    assert stage.replay.progress.sent == 2


@pytest.mark.parametrize(
    "reply",
    [
        Stop(PermanentError("the write key is unknown")),
        BodyRefused(Refused("collector", 413, {"title": "too large"})),
    ],
)
def test_a_refusal_that_asking_again_cannot_mend_is_raised(reply: Reply) -> None:
    with pytest.raises(PermanentError):
        Stage(reply).play(0)
