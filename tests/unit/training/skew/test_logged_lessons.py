"""What logged vectors teach: the rows as they were, with the gains of what came after."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import msgspec
import numpy as np
import pytest

from nearline import served_files
from nearline.contracts.event import Event
from nearline.served import FEATURES_HASH, Served, rows_as_bytes
from nearline.transforms.buckets import DAY_US, HOUR_US
from nearline.transforms.ranking import RANKER_FEATURES
from tests.unit.training.histories import START_US, met, write
from training.datasets import Dataset, read
from training.skew.logged_lessons import Logged, lessons_from_log, rows_of

NOW_US = START_US + 10 * DAY_US
LIST = tuple(f"i{n}" for n in range(8))


def answer(
    number: int, who: str = "ann", at_us: int = NOW_US, items: tuple[str, ...] = LIST
) -> Served:
    rows = np.random.default_rng(number).normal(size=(len(items), len(RANKER_FEATURES)))
    rows[:, 3] = np.nan
    return Served(
        response_id=f"r{number}",
        customer_id=who,
        as_of_us=at_us,
        bundle="1",
        features_hash=FEATURES_HASH,
        item_ids=items,
        categories=("",) * len(items),
        item_positions=((),) * len(items),
        rows=rows_as_bytes(rows.astype(np.float32)),
    )


def shop(root: Path, *after: Event) -> Dataset:
    past = [met("ann", item, START_US + n) for n, item in enumerate(LIST)]
    return read(write(root, [*past, met("bob", "i0", START_US), *after]))


def learn(dataset: Dataset, *records: Served, **more: object) -> Logged:
    options = {"hours": 24.0, "negatives": 30, "per_customer": 4, "limit": 99, "seed": 1} | more
    return lessons_from_log(records, dataset, START_US, NOW_US + 30 * DAY_US, **options)  # type: ignore[arg-type]


def test_rows_are_those_that_were_seen_and_gains_those_of_what_came_after(tmp_path: Path) -> None:
    dataset = shop(
        tmp_path,
        met("ann", "i2", NOW_US + HOUR_US),
        met("ann", "i5", NOW_US + HOUR_US, name="add_to_cart"),
        met("ann", "i5", NOW_US + 2 * HOUR_US, name="purchase"),
        met("ann", "i6", NOW_US + 25 * HOUR_US),  # after the window
        met("ann", "i7", NOW_US),  # at the very instant: known, perhaps
        met("bob", "i1", NOW_US + HOUR_US),  # another customer
        met("ann", "unlisted", NOW_US + HOUR_US, name="purchase"),
    )
    record = answer(1)

    rows = rows_of(learn(dataset, record).lessons)

    assert rows.gains_R.tolist() == [0, 0, 1, 0, 0, 3, 0, 0]
    assert rows.features_RF.tobytes() == record.rows  # every bit, NaN included
    assert rows.question_R.tolist() == [0] * 8


def test_every_hit_is_kept_and_some_misses(tmp_path: Path) -> None:
    dataset = shop(tmp_path, met("ann", "i2", NOW_US + 1))
    record = answer(1)

    (lesson,) = learn(dataset, record, negatives=3).lessons

    assert sorted(lesson.gains_C.tolist()) == [0, 0, 0, 1]
    seen = {row.tobytes() for row in record.matrix()}
    assert {row.tobytes() for row in lesson.features_CF} <= seen


def test_what_cannot_teach_is_left_out_and_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = shop(tmp_path, met("ann", "i2", NOW_US + 1))
    record = answer(1)

    found = learn(
        dataset,
        answer(2, "bob"),  # came back for nothing
        answer(3, "a stranger"),
        answer(4, items=("i2",)),  # all of it was met
        msgspec.structs.replace(record, features_hash="other"),
        msgspec.structs.replace(record, rows=record.rows[4:]),
        answer(5, at_us=NOW_US + 29 * DAY_US + 1),  # its window has not ended
        *(answer(6 + n, at_us=NOW_US - n) for n in range(6)),
    )

    assert (found.unanswered, found.other_features, found.unreadable) == (3, 1, 1)
    assert (len(found.lessons), found.over_limit) == (4, 2)
    assert found.told().startswith("4 lessons from logged vectors (3 answers taught nothing")
    monkeypatch.setenv("NEARLINE_LANG", "zh")
    assert found.told().startswith("从线上记录的特征学到 4 个样本（3 个回答没有信息")


def test_of_more_answers_than_are_wanted_as_many_are_drawn_from_all_of_them(
    tmp_path: Path,
) -> None:
    dataset = shop(tmp_path, met("ann", "i2", NOW_US + 1))
    records = [answer(n, at_us=NOW_US - 40 + n) for n in range(40)]

    drawn = [
        learn(dataset, *records, per_customer=40, limit=5, seed=seed).lessons for seed in range(40)
    ]

    assert {len(lessons) for lessons in drawn} == {5}
    times = [lesson.as_of_us - NOW_US + 40 for lessons in drawn for lesson in lessons]
    assert len(set(times)) > 35  # the first are no likelier than the last
    assert 15 < sum(times) / len(times) < 24
    assert all(one.as_of_us < two.as_of_us for held in drawn for one, two in pairwise(held))


def test_none_at_all_are_rows_too() -> None:
    rows = rows_of([])

    assert rows.features_RF.shape == (0, len(RANKER_FEATURES))
    assert len(rows.gains_R) == len(rows.question_R) == 0


def test_questions_are_numbered_on_where_others_follow(tmp_path: Path) -> None:
    dataset = shop(tmp_path, met("ann", "i2", NOW_US + 1))
    logged = rows_of(learn(dataset, answer(1), answer(2, at_us=NOW_US - 1)).lessons)

    both = logged.and_then(logged)

    assert np.unique(both.question_R).tolist() == [0, 1, 2, 3]


def test_files_give_back_every_record_as_it_was_each_answer_once(tmp_path: Path) -> None:
    records = [answer(n, at_us=NOW_US + n * DAY_US) for n in range(3)]
    for number, record in enumerate(records):
        for copy in ("a", "b"):  # as when an archiver was killed between its two steps
            name = f"day=2025-10-{19 + number}/served-{copy}.parquet"
            served_files.write(tmp_path / name, [record])

    assert list(served_files.read(tmp_path)) == records
    assert list(served_files.read(tmp_path, NOW_US, NOW_US + DAY_US)) == records[1:2]


def test_days_that_are_too_old_go_and_no_others(tmp_path: Path) -> None:
    for day in ("2025-10-18", "2025-10-19", "2025-10-20"):
        served_files.write(tmp_path / f"day={day}" / "served-a.parquet", [answer(1)])

    assert served_files.prune(tmp_path, NOW_US) == 1  # of the 19th some hours remain
    assert sorted(folder.name for folder in tmp_path.iterdir()) == [
        "day=2025-10-19",
        "day=2025-10-20",
    ]


@pytest.mark.parametrize("share", [-0.1, 1.5])
def test_a_share_is_a_share(share: float) -> None:
    from nearline.errors import PermanentError
    from nearline.served import checked_share

    with pytest.raises(PermanentError, match="NEARLINE_SERVED_SAMPLE"):
        checked_share(share)


def test_the_sample_is_the_share_and_always_the_same() -> None:
    from nearline.served import is_sampled

    ids = [f"{n:032x}" for n in range(20_000)]
    kept = [one for one in ids if is_sampled(one, 0.05)]

    assert 0.04 < len(kept) / len(ids) < 0.06
    assert all(is_sampled(one, 1.0) for one in ids[:100])
    assert not any(is_sampled(one, 0.0) for one in ids[:100])
    assert kept == [one for one in ids if is_sampled(one, 0.05)]
