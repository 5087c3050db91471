from __future__ import annotations

from ingestion.archive.buffer import Buffer, Limits, cut_by_day
from nearline.contracts.position import LogPosition
from nearline.log import Entry, Page
from tests.unit.stream.made import DAY_US, NOON_US, event


def page(*counters: int, day: int = 0, payload: str = "{}") -> Page:
    entries = [
        Entry(
            LogPosition(0, 1_000, counter),
            event(str(counter), occurred_at_us=NOON_US + day * DAY_US, payload=payload),
        )
        for counter in counters
    ]
    return Page(entries, [], entries[-1].position)


def test_a_file_is_due_by_age_by_count_or_by_size() -> None:
    def due(limits: Limits, now_us: int) -> bool:
        buffer = Buffer(limits)
        buffer.add(0, page(1, 2, payload="x" * 50), now_us=1)
        return buffer.is_due(now_us)

    assert not due(Limits(10, 3, 101), 9_999_999)
    assert due(Limits(10, 3, 101), 10_000_001)
    assert due(Limits(10, 2, 101), 1)
    assert due(Limits(10, 3, 100), 1)


def test_a_clock_that_is_set_back_makes_a_file_due() -> None:
    buffer = Buffer(Limits(10, 3, 100))
    buffer.add(0, page(1), now_us=5_000_000)

    assert not buffer.is_due(5_000_000)
    assert buffer.is_due(4_999_999)


def test_an_empty_buffer_is_never_due() -> None:
    buffer = Buffer(Limits(0, 0))
    buffer.add(0, Page([], [LogPosition(0, 1, 0)], LogPosition(0, 1, 0)), now_us=1)

    assert not buffer.is_due(10**15)
    assert buffer.reached[0] == LogPosition(0, 1, 0)


def test_what_is_forgotten_no_longer_counts() -> None:
    buffer = Buffer(Limits(10, 3, 100))
    buffer.add(0, page(1, 2, 3, payload="x" * 50), now_us=1)

    buffer.forget(0)

    assert (buffer.events, buffer.payload_bytes, buffer.oldest_us) == (0, 0, 0)
    assert buffer.reached == {}


def test_events_that_alternate_around_midnight_are_cut_into_contiguous_files() -> None:
    entries = [
        *page(1, 2, day=0).entries,
        *page(3, day=1).entries,
        *page(4, day=0).entries,
        *page(5, 6, day=1).entries,
    ]

    runs = [(day, [e.position.counter for e in run]) for day, run in cut_by_day(entries)]

    assert runs == [
        ("2026-09-21", [1, 2]),
        ("2026-09-22", [3]),
        ("2026-09-21", [4]),
        ("2026-09-22", [5, 6]),
    ]
