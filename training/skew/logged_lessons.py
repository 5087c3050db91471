"""The ranker's lessons out of what it really saw: logged vectors, and what was done after them.

A logged vector needs no recomputation and holds what production alone knows: the scores and ranks
that the serving bundle gave, the stock of new arrivals, the delay of the moment. That bundle was
made before the answer, so it had not learnt what came after. Where the sample is too small,
recomputed questions fill up (`Rows.and_then`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from nearline.say import say
from nearline.served import FEATURES_HASH, Served
from nearline.transforms.buckets import HOUR_US
from nearline.transforms.ranking import RANKER_FEATURES
from training.datasets import Dataset
from training.label_points import gains_of
from training.ranking_rows import Rows

# Axes: C candidates kept, F ranker features, Q questions.


@dataclass(frozen=True)
class Lesson:
    """One answer's rows with the gains of what was met within the window after it."""

    as_of_us: int
    customer: int
    items_C: npt.NDArray[np.int64]  # rows of the catalogue, -1 where it does not know the item
    features_CF: npt.NDArray[np.float32]
    gains_C: npt.NDArray[np.int64]


@dataclass
class Logged:
    """Lessons in the order of time, and how many records taught nothing, by the reason."""

    lessons: list[Lesson] = field(default_factory=list)
    other_features: int = 0  # logged by code with other features
    unreadable: int = 0
    unanswered: int = 0  # nothing of the list was met after it, or all of it, or nobody is known
    over_limit: int = 0  # of customers with many answers, or more than are wanted in all

    def labels(self) -> list[tuple[int, int, int]]:
        """(customer, item row, instant) of all that was met after an answer."""
        return [
            (one.customer, item, one.as_of_us)
            for one in self.lessons
            for item in one.items_C[one.gains_C > 0].tolist()
        ]

    def told(self) -> str:
        """How many there are, for a journal."""
        return say(
            f"{len(self.lessons)} lessons from logged vectors ({self.unanswered} answers taught "
            f"nothing, {self.over_limit} were too many, {self.other_features} have other features, "
            f"{self.unreadable} another shape)",
            f"从线上记录的特征学到 {len(self.lessons)} 个样本（{self.unanswered} 个回答没有信息，"
            f"{self.over_limit} 个超出上限，{self.other_features} 个特征不同，"
            f"{self.unreadable} 个形状不同）",
        )


def lessons_from_log(
    records: Iterable[Served],
    dataset: Dataset,
    after_us: int,
    until_us: int,
    *,
    hours: float,
    negatives: int,
    per_customer: int,
    limit: int,
    seed: int,
) -> Logged:
    """Lessons of answers in (after_us, until_us] whose window has ended by then.

    `records` as `nearline.served_files.read` gives them. Gains are those of `label_points`: the
    highest kind of what occurred strictly after the answer, within `hours`. Every hit is kept and
    at most `negatives` misses; a list without either has no order to teach. Of more lessons than
    `limit` as many are drawn evenly, without all being held at once (Vitter 1985, algorithm R).
    """
    window_us = int(hours * HOUR_US)
    data, index_of = dataset.interactions, dataset.items.index_of
    row_of = {who: row for row, who in enumerate(dataset.customer_ids)}
    ranges = {customer: (start, end) for customer, start, end in data.ranges()}
    generator = np.random.default_rng(seed)
    taken: dict[int, int] = {}
    wanted = 0
    found = Logged()
    for record in records:
        if not after_us < record.as_of_us <= until_us - window_us:
            continue
        if record.features_hash != FEATURES_HASH:
            found.other_features += 1
            continue
        try:
            rows_CF = record.matrix()
        except ValueError:
            found.unreadable += 1
            continue
        customer = row_of.get(record.customer_id, -1)
        start, end = ranges.get(customer, (0, 0))
        occurred = data.occurred_at_us[start:end]
        first = start + int(np.searchsorted(occurred, record.as_of_us, side="right"))
        last = start + int(np.searchsorted(occurred, record.as_of_us + window_us, side="right"))
        gains = gains_of(data.item[first:last], data.kind[first:last])
        items_C = np.array([index_of.get(one, -1) for one in record.item_ids], np.int64)
        gains_C = np.array([gains.get(item, 0) for item in items_C.tolist()], np.int64)
        hit_C = gains_C > 0
        if not hit_C.any() or hit_C.all():
            found.unanswered += 1
            continue
        if taken.get(customer, 0) == per_customer:
            found.over_limit += 1
            continue
        taken[customer] = taken.get(customer, 0) + 1
        wanted += 1
        missed = np.flatnonzero(~hit_C)
        if len(missed) > negatives:
            missed = generator.choice(missed, negatives, replace=False)
        kept = np.sort(np.concatenate([np.flatnonzero(hit_C), missed]))
        lesson = Lesson(record.as_of_us, customer, items_C[kept], rows_CF[kept], gains_C[kept])
        if len(found.lessons) < limit:
            found.lessons.append(lesson)
        else:
            found.over_limit += 1  # Whichever goes, one does.
            place = int(generator.integers(wanted))
            if place < limit:
                found.lessons[place] = lesson
    found.lessons.sort(key=lambda lesson: (lesson.as_of_us, lesson.customer))
    return found


def rows_of(lessons: Sequence[Lesson]) -> Rows:
    """The lessons laid end to end, as `training.ranking_rows.rows_of` lays recomputed ones."""
    return Rows(
        np.concatenate(
            [
                np.zeros((0, len(RANKER_FEATURES)), np.float32),
                *(one.features_CF for one in lessons),
            ]
        ),
        np.concatenate([np.zeros(0, np.int64), *(one.gains_C for one in lessons)]),
        np.repeat(np.arange(len(lessons)), [len(one.gains_C) for one in lessons]),
    )
