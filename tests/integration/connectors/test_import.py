"""`nearline import`: every format, every refusal, and the same bytes after any kill."""

from __future__ import annotations

import contextlib
import csv
import gzip
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ingestion.connectors import importing, mapping
from ingestion.connectors.importing import OtherContent, Report
from ingestion.connectors.mapping import Mapping
from ingestion.connectors.rows import ColumnsMissing
from nearline import history
from nearline.clock import micros
from nearline.contracts.event import Event
from nearline.errors import PermanentError, TransientError
from nearline.settings import Settings

NOW_US = micros(datetime(2026, 11, 1, tzinfo=UTC))
HEADER = ["id", "user", "sku", "action", "at", "price"]
MAP_TEXT = """\
name: log
columns: {event_id: id, customer_id: user, item_id: sku, event: action, time: at, price: price}
events: {view: view_item, buy: purchase, noise: ignore}
money: {unit: units, currency: EUR}
consent: [analytics, personalization]
"""
MAP = mapping.parse(MAP_TEXT, "map.yaml")


def record(number: int, **changes: str) -> dict[str, str]:
    """The number-th record of a log: three days, not quite in order of time."""
    seconds = (number * 7_919) % (3 * 86_400)
    at = datetime(2026, 10, 5, tzinfo=UTC) + timedelta(seconds=seconds)
    held = {
        "id": f"e{number}",
        "user": f"c{number % 11}",
        "sku": f"i{number % 23}",
        "action": ("view", "buy")[number % 5 == 0],
        "at": at.isoformat(),
        "price": f"{number % 100}.50",
    }
    return held | changes


LOG = [record(number) for number in range(1, 301)]
LOG[20] = record(21, action="noise")
LOG[40] = record(41, id="e7")  # twice the same id: the earlier row stays
LOG[60] = record(61, user="")
LOG[61] = record(62, at="not a time")
LOG[62] = record(63, at="also not")
LOG[80] = record(81, price="-1")


def write_csv(path: Path) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, HEADER)
    writer.writeheader()
    writer.writerows(LOG)
    data = text.getvalue().encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)


def write_jsonl(path: Path) -> None:
    text = "".join(json.dumps(held) + "\n" for held in LOG).encode()
    path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)


def write_parquet(path: Path) -> None:
    pq.write_table(pa.Table.from_pylist(LOG), path, row_group_size=64)


def run(home: Path, path: Path, known: Mapping = MAP, **options: Any) -> Report:
    options = {"name": known.name, "now_us": NOW_US, "chunk_rows": 40} | options
    return importing.run(Settings(home=home), path, known, **options)[0]


def imported(home: Path) -> list[Event]:
    days = history.read_days(Settings(home=home).history)
    return [event for _, table in days for event in history.events_of(table)]


def all_bytes(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.endswith(".lock")
    }


FORMATS = [
    ("log.csv", write_csv),
    ("log.csv.gz", write_csv),
    ("log.jsonl", write_jsonl),
    ("log.jsonl.gz", write_jsonl),
    ("log.parquet", write_parquet),
]


@pytest.mark.parametrize(("name", "write"), FORMATS)
def test_every_format_gives_the_same_events_and_the_same_counts(
    tmp_path: Path, name: str, write: Callable[[Path], None]
) -> None:
    write(tmp_path / name)

    report = run(tmp_path / "home", tmp_path / name)

    assert (report.received, report.imported, report.ignored) == (300, 294, 1)
    assert (report.duplicates.count, report.duplicates.first_rows) == (1, [41])
    assert {code: (r.count, r.first_rows) for code, r in report.refused.items()} == {
        "no_customer": (1, [61]),
        "bad_time": (2, [62, 63]),
        "bad_money": (1, [81]),
    }
    assert report.received == 294 + 1 + 1 + report.refused_total
    events = imported(tmp_path / "home")
    assert [event.occurred_at_us for event in events] == sorted(
        event.occurred_at_us for event in events
    )
    (second,) = [event for event in events if event.event_id == "e2"]
    assert second.lines[0].price_cents == 250
    assert (second.customer_id, second.name, second.currency) == ("c2", "view_item", "EUR")
    assert len({event.event_id for event in events}) == 294


def test_refused_rows_are_kept_as_they_were_for_their_owner_alone(tmp_path: Path) -> None:
    write_csv(tmp_path / "log.csv")
    run(tmp_path / "home", tmp_path / "log.csv")

    kept = importing.refused_path(tmp_path / "home", "log")
    lines = [json.loads(line) for line in kept.read_text().splitlines()]
    assert [(line["row"], line["reason"]) for line in lines] == [
        (61, "no_customer"),
        (62, "bad_time"),
        (63, "bad_time"),
        (81, "bad_money"),
    ]
    assert lines[1]["raw"] == list(record(62, at="not a time").values())
    assert kept.stat().st_mode & 0o077 == 0


def test_broken_csv_rows_spoil_nothing_but_themselves(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    good = ",".join(record(1).values())
    path.write_bytes(
        "\r\n".join([",".join(HEADER), good, "too,few", "", ",".join(record(2).values())]).encode()
        + b"\r\ne3,caf\xe9,i1,view,2026-10-05T00:00:00Z,1\r\n"
        + ",".join(record(4, sku='"a, ""b"""').values()).encode()
        + b'\r\ne5,"'
        + b"never closed " * 20_000
    )

    report = run(tmp_path / "home", path)

    assert (report.received, report.imported) == (6, 3)
    assert {code: r.first_rows for code, r in report.refused.items()} == {
        "wrong_number_of_columns": [2],
        "bad_id": [4],
        "unreadable_row": [6],
    }
    assert {event.lines[0].item_id for event in imported(tmp_path / "home")} == {
        "i1",
        "i2",
        'a, "b"',
    }


def test_broken_json_lines_spoil_nothing_but_themselves(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    good = json.dumps(record(1)).encode()
    huge = b'{"id": "' + b"x" * (3 << 20) + b'"}'
    path.write_bytes(b"\n".join([good, b"{", b"[1]", b"", b"\xff\xfe", huge, b"null"]) + b"\n")

    report = run(tmp_path / "home", path)

    assert (report.received, report.imported) == (6, 1)
    assert report.refused["unreadable_row"].first_rows == [2, 3, 4, 5, 6]
    assert importing.refused_path(tmp_path / "home", "log").stat().st_size < 10_000


def test_parquet_times_count_whatever_their_unit_and_zone(tmp_path: Path) -> None:
    at = datetime(2026, 10, 25, 2, 30, tzinfo=UTC)
    berlin = mapping.parse(MAP_TEXT + "time: {zone: Europe/Berlin}\n", "m")
    for number, kind in enumerate(
        (pa.timestamp("ns", "UTC"), pa.timestamp("s", "Asia/Tokyo"), pa.timestamp("ns"))
    ):
        table = pa.Table.from_pylist([record(1)])
        value = at if kind.tz else at.replace(tzinfo=None)
        table = table.set_column(4, "at", pa.array([value], kind))
        pq.write_table(table, tmp_path / f"{number}.parquet")
        run(tmp_path / str(number), tmp_path / f"{number}.parquet", berlin)

    def when(number: int) -> int:
        return imported(tmp_path / str(number))[0].occurred_at_us

    assert when(0) == when(1) == micros(at)
    assert when(2) == micros(at) - 2 * 3_600_000_000  # first of the two: still summer time


def test_a_finished_import_is_left_alone_and_says_so(tmp_path: Path) -> None:
    write_csv(tmp_path / "log.csv")
    first = run(tmp_path / "home", tmp_path / "log.csv")
    before = all_bytes(tmp_path / "home")

    again, was_finished = importing.run(
        Settings(home=tmp_path / "home"), tmp_path / "log.csv", MAP, "log", now_us=NOW_US + 1
    )

    assert was_finished
    assert again == first
    assert all_bytes(tmp_path / "home") == before


def test_a_changed_file_or_mapping_is_refused_until_told_what_to_do(tmp_path: Path) -> None:
    path, home = tmp_path / "log.csv", tmp_path / "home"
    write_csv(path)
    run(home, path)
    path.write_text(path.read_text() + ",".join(record(999).values()) + "\n")

    with pytest.raises(OtherContent, match="--replace"):
        run(home, path)
    assert run(home, path, name="log-2").imported == 295
    assert run(home, path, replace=True).imported == 295
    events = imported(home)
    assert len(events) == 590  # both names, each once


def test_the_chunks_decide_nothing(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "log.jsonl")
    for rows in (1, 7, 1_000):
        run(tmp_path / str(rows), tmp_path / "log.jsonl", chunk_rows=rows)

    assert all_bytes(tmp_path / "1") == all_bytes(tmp_path / "7") == all_bytes(tmp_path / "1000")


def test_moved_in_time_the_newest_event_is_where_it_was_wanted(tmp_path: Path) -> None:
    write_csv(tmp_path / "log.csv")
    options = {"shift": "now", "shift_newest_to_us": NOW_US}

    run(tmp_path / "moved", tmp_path / "log.csv", **options)
    run(tmp_path / "still", tmp_path / "log.csv")

    moved, still = imported(tmp_path / "moved"), imported(tmp_path / "still")
    assert moved[-1].occurred_at_us == moved[-1].known_at_us == NOW_US
    distances = {
        after.occurred_at_us - before.occurred_at_us
        for after, before in zip(moved, still, strict=True)
    }
    assert len(distances) == 1
    assert [event.event_id for event in moved] == [event.event_id for event in still]


def test_missing_columns_and_unknown_kinds_of_file_are_told(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("id,user,item,action,at,price\n")
    with pytest.raises(ColumnsMissing, match=r"'sku'.*Its columns are: 'id', 'user', 'item'"):
        run(tmp_path / "home", path)
    other = tmp_path / "log.xlsx"
    other.write_bytes(b"")
    with pytest.raises(PermanentError, match=r"expected \.csv"):
        run(tmp_path / "home2", other)
    broken = tmp_path / "log.parquet"
    broken.write_bytes(b"PAR1 but not really")
    with pytest.raises(PermanentError, match="no whole Parquet file"):
        run(tmp_path / "home3", broken)
    cut = tmp_path / "log.csv.gz"
    write_csv(cut)
    cut.write_bytes(cut.read_bytes()[:-200])
    with pytest.raises(PermanentError, match="cannot be read to its end"):
        run(tmp_path / "home4", cut)
    cut.write_bytes(cut.read_bytes()[:12])
    with pytest.raises(PermanentError, match="cannot be read to its end"):
        run(tmp_path / "home5", cut)


def test_a_run_that_took_no_row_claims_no_name(tmp_path: Path) -> None:
    home, other, path = tmp_path / "home", tmp_path / "log.xlsx", tmp_path / "log.csv"
    other.write_bytes(b"")
    path.write_text("id,user,item,action,at,price\n")
    for refused in (other, path):
        with pytest.raises(PermanentError):
            run(home, refused)
    write_csv(path)

    assert run(home, path, now_us=NOW_US + 1).imported == 294


def test_a_run_that_broke_off_half_way_claims_its_name(tmp_path: Path) -> None:
    home, path = tmp_path / "home", tmp_path / "log.csv.gz"
    write_csv(path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-200])
    with pytest.raises(PermanentError, match="to its end"):
        run(home, path)
    path.write_bytes(whole)

    with pytest.raises(OtherContent, match="begun"):
        run(home, path)
    assert run(home, path, replace=True).imported == 294


def test_an_empty_log_is_an_import_of_nothing(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text(",".join(HEADER) + "\n")

    report = run(tmp_path / "home", path)

    assert (report.received, report.imported, report.days) == (0, 0, 0)


def test_two_imports_of_one_name_do_not_run_at_once(tmp_path: Path) -> None:
    from ingestion.connectors.staging import alone

    write_csv(tmp_path / "log.csv")
    with (
        alone(tmp_path / "home" / "staging" / ".import-log.lock", "log"),
        pytest.raises(TransientError, match="another process"),
    ):
        run(tmp_path / "home", tmp_path / "log.csv")


@pytest.mark.slow
def test_killed_at_any_moment_and_run_again_it_gives_the_same_bytes(tmp_path: Path) -> None:
    """kill -9 after a random number of staged chunks or published files, again and again."""
    records = [record(number) for number in range(1, 4_001)]
    for number in range(100, 4_000, 97):
        records[number] = record(number + 1, at="broken") if number % 2 else records[number - 50]
    path, map_path = tmp_path / "log.jsonl", tmp_path / "map.yaml"
    path.write_text("".join(json.dumps(held) + "\n" for held in records))
    map_path.write_text(MAP_TEXT)
    command = [sys.executable, "-m", "nearline", "import", str(path), "--mapping", str(map_path)]
    command += ["--chunk-rows", "100"]

    def start(home: str) -> subprocess.Popen[bytes]:
        environ = os.environ | {"NEARLINE_HOME": str(tmp_path / home), "NEARLINE_LANG": "en"}
        return subprocess.Popen(
            command, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )

    def done_so_far() -> int:
        with contextlib.suppress(FileNotFoundError):  # Of a folder that is published meanwhile.
            return sum(1 for _ in (tmp_path / "killed").rglob("*.parquet"))
        return 0

    assert start("whole").wait(60) == 0
    rng = random.Random(5)
    kills = 0
    while kills < 5:
        process = start("killed")
        wanted = done_so_far() + rng.randint(1, 9)
        deadline = time.monotonic() + 60
        while process.poll() is None and done_so_far() < wanted:
            assert time.monotonic() < deadline
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
        if process.wait() == -signal.SIGKILL:
            kills += 1
        else:  # It was quicker than we: once more from the beginning.
            assert process.returncode == 0
            shutil.rmtree(tmp_path / "killed")
    assert start("killed").wait(60) == 0

    for part in ("history", "refused"):
        whole, killed = all_bytes(tmp_path / "whole" / part), all_bytes(tmp_path / "killed" / part)
        assert whole == killed
        assert whole
    assert not list((tmp_path / "killed" / "staging").glob("import-*"))
    assert importing.read_report(tmp_path / "killed", "log") == importing.read_report(
        tmp_path / "whole", "log"
    )


@pytest.mark.slow
def test_the_whole_retailrocket_log_comes_in(tmp_path: Path, shared: Path) -> None:
    path = shared / "data" / "retailrocket_behaviour" / "events.parquet"

    report = run(tmp_path, path, mapping.load("retailrocket"), chunk_rows=50_000)

    assert (report.received, report.imported, report.refused) == (97_381, 97_381, {})
    files = history.files(Settings(home=tmp_path).history)
    assert sum(pq.read_metadata(file).num_rows for file in files) == 97_381
    assert (report.first_us, report.last_us) == (
        micros(datetime(2015, 5, 3, 3, 25, 10, tzinfo=UTC)),
        micros(datetime(2015, 9, 18, 2, 51, 41, tzinfo=UTC)),
    )


@pytest.mark.slow
def test_the_taobao_stream_comes_in_with_its_categories(tmp_path: Path, shared: Path) -> None:
    path = shared / "data" / "taobao_stream" / "events.parquet"

    report = run(tmp_path, path, mapping.load("taobao"), chunk_rows=50_000)

    assert (report.received, report.imported) == (96_168, 96_168)
    names = {event.name: event for event in imported(tmp_path)}
    assert set(names) == {"view_item", "add_to_cart", "purchase", "add_to_wishlist"}
    assert names["view_item"].lines[0].category
