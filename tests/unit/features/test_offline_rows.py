"""The rows of the offline store: one for each change, equal to a naive fold of the past."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from nearline import offline, offline_rows
from nearline.contracts.event import ITEM_LISTED, Event, Line, StatedFacts
from nearline.feast_layout import CUSTOMER_VIEW, ITEM_VIEW, ViewLayout
from nearline.history import day_of, table_of, write_day_file
from nearline.transforms import customer, item
from nearline.transforms.buckets import DAY_US, HOUR_US
from nearline.transforms.columns import customer_state, item_state

NOON_US = 1_760_011_200_000_000  # 2025-10-09 12:00 UTC


def event(
    number: int,
    known_at_us: int,
    *,
    name: str = "view_item",
    who: str = "ada",
    what: Sequence[str] = ("lamp",),
    late_us: int = 0,
    consent: tuple[str, ...] = ("personalization",),
    facts: StatedFacts | None = None,
) -> Event:
    return Event(
        event_id=f"e{number}",
        type="track",
        name=name,
        customer_id=who,
        occurred_at_us=known_at_us - late_us,
        known_at_us=known_at_us,
        source="test",
        lines=tuple(Line(item_id=item_id, price_cents=1_000, facts=facts) for item_id in what),
        consent=consent,
        payload='{"never": "read"}',
    )


def write(history: Path, events: Iterable[Event], name: str = "import-test-f_0_9") -> None:
    for day, rows in groupby(sorted(events, key=lambda e: e.known_at_us), key=day_of):
        write_day_file(history, day, f"{name}.parquet", table_of(list(rows)))


def rows(folder: Path, layout: ViewLayout) -> list[dict[str, Any]]:
    return pq.read_table(offline.source_path(folder, layout.view)).to_pylist()


def seeded(seed: int, count: int) -> list[Event]:
    rng = random.Random(seed)
    now_us, events = NOON_US, []
    for number in range(count):
        now_us += rng.choice([0, 1, rng.randrange(HOUR_US), rng.randrange(DAY_US)])
        name = rng.choice(["view_item", "view_item", "add_to_cart", "purchase", "search"])
        listed = number % 7 == 3
        stated = StatedFacts(stock=number % 3, banned=(None, True)[number % 2])
        events.append(
            event(
                number,
                now_us,
                name=ITEM_LISTED if listed else name,
                who=rng.choice(["ada", "ben", "客户"]),
                what=rng.choices(["lamp", "shoe", "é"], k=rng.choice([1, 2])),
                late_us=rng.choice([0, 0, rng.randrange(3 * DAY_US)]),
                consent=rng.choice([("personalization",)] * 9 + [()]),
                facts=stated if listed else None,
            )
        )
    return events


def test_each_row_is_the_naive_fold_of_all_events_known_by_then(tmp_path: Path) -> None:
    events = seeded(5, 300)
    write(tmp_path / "history", events)

    offline.snapshot(tmp_path / "history", tmp_path / "offline")

    for row in rows(tmp_path / "offline", CUSTOMER_VIEW):
        known = [e for e in events if offline_us(row) >= e.known_at_us]
        own = [e for e in known if e.customer_id == row["customer_id"]]
        assert customer_state(row) == customer.fold(own)
    for row in rows(tmp_path / "offline", ITEM_VIEW):
        known = [e for e in events if offline_us(row) >= e.known_at_us]
        assert item_state(row) == item.fold(row["item_id"], known)


def offline_us(row: dict[str, Any]) -> int:
    return round(row["event_timestamp"].timestamp() * 1_000_000)


def test_every_instant_that_changed_an_entity_has_exactly_one_row(tmp_path: Path) -> None:
    events = seeded(6, 300)
    write(tmp_path / "history", events)

    done = offline.snapshot(tmp_path / "history", tmp_path / "offline")

    found = rows(tmp_path / "offline", CUSTOMER_VIEW)
    expected = {
        (e.customer_id, e.known_at_us) for e in events if customer.state_of(e) != customer.EMPTY
    }
    assert {(row["customer_id"], offline_us(row)) for row in found} == expected
    assert len(found) == len(expected) == done.customer_rows
    assert sorted(row["row_number"] for row in found) == list(range(len(found)))


def test_of_events_that_became_known_together_the_row_holds_all(tmp_path: Path) -> None:
    write(tmp_path / "history", [event(n, NOON_US) for n in range(3)])

    offline.snapshot(tmp_path / "history", tmp_path / "offline")

    (row,) = rows(tmp_path / "offline", CUSTOMER_VIEW)
    assert row["views_total"] == 3


def test_a_late_event_counts_from_when_it_became_known(tmp_path: Path) -> None:
    late = event(2, NOON_US + HOUR_US, late_us=2 * HOUR_US)
    write(tmp_path / "history", [event(1, NOON_US), late])

    offline.snapshot(tmp_path / "history", tmp_path / "offline")

    first, second = rows(tmp_path / "offline", CUSTOMER_VIEW)
    assert (offline_us(first), first["views_total"]) == (NOON_US, 1)
    assert (offline_us(second), second["views_total"]) == (NOON_US + HOUR_US, 2)
    assert second["last_view_us"] == NOON_US
    assert second["created_timestamp"] == second["event_timestamp"]


def test_what_a_customer_did_not_allow_leaves_no_row(tmp_path: Path) -> None:
    write(tmp_path / "history", [event(1, NOON_US, consent=("analytics",))])

    done = offline.snapshot(tmp_path / "history", tmp_path / "offline")

    assert (done.events, done.customer_rows, done.item_rows) == (1, 0, 0)


def test_an_instant_is_never_split_between_batches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(offline, "_EVENTS_AT_ONCE", 2)
    monkeypatch.setattr(offline_rows, "_ROWS_AT_ONCE", 3)
    write(tmp_path / "history", [event(n, NOON_US + n // 5) for n in range(12)])

    offline.snapshot(tmp_path / "history", tmp_path / "offline")

    counts = [row["views_total"] for row in rows(tmp_path / "offline", CUSTOMER_VIEW)]
    assert counts == [5, 10, 12]


def test_unchanged_history_is_not_folded_again(tmp_path: Path) -> None:
    write(tmp_path / "history", seeded(7, 20))
    first = offline.snapshot(tmp_path / "history", tmp_path / "offline")
    folded: list[int] = []

    second = offline.snapshot(tmp_path / "history", tmp_path / "offline", folded.append)

    assert not first.unchanged
    assert second.unchanged
    assert folded == []
    assert (second.events, second.customer_rows) == (first.events, first.customer_rows)


def test_a_new_history_file_makes_a_new_snapshot(tmp_path: Path) -> None:
    write(tmp_path / "history", [event(1, NOON_US)])
    offline.snapshot(tmp_path / "history", tmp_path / "offline")
    write(tmp_path / "history", [event(2, NOON_US - HOUR_US)], name="import-later-f_0_1")

    offline.snapshot(tmp_path / "history", tmp_path / "offline")

    counts = [row["views_total"] for row in rows(tmp_path / "offline", CUSTOMER_VIEW)]
    assert counts == [1, 2]


def test_a_snapshot_that_fails_leaves_the_last_one_whole(tmp_path: Path) -> None:
    write(tmp_path / "history", [event(1, NOON_US)])
    offline.snapshot(tmp_path / "history", tmp_path / "offline")
    before = rows(tmp_path / "offline", CUSTOMER_VIEW)
    write(tmp_path / "history", [event(2, NOON_US + 1)], name="import-later-f_0_1")

    def stop(events: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        offline.snapshot(tmp_path / "history", tmp_path / "offline", stop)

    assert rows(tmp_path / "offline", CUSTOMER_VIEW) == before
    files = sorted(path.name for path in (tmp_path / "offline").rglob("*") if path.is_file())
    assert files == [".lock", "rows.parquet", "rows.parquet"]


def test_a_reader_that_has_the_file_open_keeps_the_rows_it_began_with(tmp_path: Path) -> None:
    write(tmp_path / "history", [event(1, NOON_US)])
    offline.snapshot(tmp_path / "history", tmp_path / "offline")
    reader = pq.ParquetFile(offline.source_path(tmp_path / "offline", CUSTOMER_VIEW.view))
    write(tmp_path / "history", [event(2, NOON_US + 1)], name="import-later-f_0_1")

    offline.snapshot(tmp_path / "history", tmp_path / "offline")

    assert reader.read().num_rows == 1
    assert len(rows(tmp_path / "offline", CUSTOMER_VIEW)) == 2


def test_an_empty_history_makes_empty_files_with_every_column(tmp_path: Path) -> None:
    offline.snapshot(tmp_path / "history", tmp_path / "offline")

    table = pq.read_table(offline.source_path(tmp_path / "offline", ITEM_VIEW.view))
    assert table.num_rows == 0
    assert table.schema.equals(offline.schema_of(ITEM_VIEW))
