"""The future is torn up and written anew: nothing that was learnt before the cut may notice."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import numpy as np
import pytest

from nearline.contracts.event import ITEM_LISTED, Event, Line
from nearline.transforms.buckets import DAY_US, HOUR_US
from tests.unit.training.histories import START_US, met, two_tastes, write
from tests.unit.training.leaks.naive import NaiveStates
from training import baselines, leaks
from training.datasets import Dataset, read
from training.label_points import Point, points
from training.ranking_rows import Question, ask, lessons, rows_of
from training.retrieval import Retriever
from training.sequences import questions, windows

CUT_US = START_US + 20 * DAY_US


@dataclass(frozen=True)
class Past:
    dataset: Dataset
    states: leaks.GuardedStates
    questions: list[Question]


def shop() -> list[Event]:
    """Two tastes, each event with the category and the price of its item."""
    return [
        msgspec.structs.replace(
            event,
            lines=tuple(
                Line(line.item_id, 1, 500, "left" if line.item_id < "i10" else "right")
                for line in event.lines
            ),
        )
        for event in two_tastes(customers=24, items=20)
    ]


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Past:
    return past(shop(), tmp_path_factory)


@pytest.fixture(scope="module")
def poisoned(tmp_path_factory: pytest.TempPathFactory) -> Past:
    """After the cut: other items for other customers, other prices, and more and fewer events."""
    draw = np.random.default_rng(9)
    before: list[Event] = []
    after: list[Event] = []
    for one in shop():
        (before if one.known_at_us <= CUT_US else after).append(one)
    changed = [
        msgspec.structs.replace(
            one,
            event_id=f"poison-{number}",
            customer_id=f"c{draw.integers(24):03d}",
            lines=(Line(f"i{draw.integers(20):02d}", 3, int(draw.integers(1, 10**9)), "poison"),),
        )
        for number, one in enumerate(after)
        if draw.random() < 0.7
    ]
    # What occurred before the cut and was known after it, and what nobody had met before.
    changed += [
        met(f"c{n:03d}", f"i{n % 20:02d}", CUT_US - HOUR_US, name="purchase",
            known_after_us=2 * HOUR_US) for n in range(24)
    ]  # fmt: skip
    changed += [met(f"newcomer{n}", "unheard of", CUT_US + n + 1) for n in range(5)]
    # A listing alone says something else of a listed item.
    changed += [
        met("shop", f"i{n:02d}", CUT_US + n + 1, name=ITEM_LISTED, price_cents=10**9,
            category="poison") for n in range(20)
    ]  # fmt: skip
    return past([*before, *changed], tmp_path_factory)


def past(events: list[Event], folders: pytest.TempPathFactory) -> Past:
    dataset = read(write(folders.mktemp("past"), events))
    states = leaks.GuardedStates(NaiveStates(events), dataset)
    found = known_points(dataset)
    return Past(dataset, states, ask(found, dataset, retriever(dataset), states))


def known_points(dataset: Dataset) -> list[Point]:
    """Moments whose label window has ended, and was known, by the cut."""
    return points(
        dataset.interactions.pick(dataset.interactions.known_at_us <= CUT_US),
        START_US, CUT_US, hours=24, per_customer=3, limit=60, seed=1,
    )  # fmt: skip


def retriever(dataset: Dataset) -> Retriever:
    """An item's vector depends on its id alone, so that rows may move."""
    ids = dataset.items.item_ids
    vectors = np.stack(
        [np.random.default_rng(list(item_id.encode())).normal(size=8) for item_id in ids]
    ).astype(np.float32)
    return Retriever.of(
        lambda items, kinds: vectors[items[:, -1] - 1],
        vectors,
        dataset,
        CUT_US,
        baselines.popular_items(dataset.interactions, CUT_US - DAY_US, 7.0, 20),
        history_length=20,
    )


def named(questions: list[Question], dataset: Dataset) -> list[object]:
    """Questions by item id, since rows move when items come."""
    ids = dataset.items.item_ids
    return [
        (
            one.as_of_us,
            one.state,
            [(c.item_id, dict(c.scores), dict(c.ranks)) for c in one.candidates],
            {ids[row]: gain for row, gain in one.targets.items()},
        )
        for one in questions
    ]


def test_moments_candidates_and_gains_before_the_cut_stay_as_they_were(
    honest: Past, poisoned: Past
) -> None:
    assert len(honest.questions) > 20
    assert named(honest.questions, honest.dataset) == named(poisoned.questions, poisoned.dataset)


def test_lessons_and_their_features_stay_to_the_byte(honest: Past, poisoned: Past) -> None:
    one, other = (
        rows_of(lessons(past.questions, negatives=5, seed=3), past.states)
        for past in (honest, poisoned)
    )

    assert len(one.features_RF) > 100
    assert one.features_RF.tobytes() == other.features_RF.tobytes()
    assert one.gains_R.tolist() == other.gains_R.tolist()
    assert one.question_R.tolist() == other.question_R.tolist()


def test_the_encoders_windows_and_questions_before_the_cut_stay_as_they_were(
    honest: Past, poisoned: Past
) -> None:
    """Up to a day before: what occurred in that day is known to the encoder when it is known."""
    until_us = CUT_US - DAY_US
    found = []
    for one in (honest, poisoned):
        data, ids = one.dataset.interactions.until(until_us), np.array(one.dataset.items.item_ids)
        made = windows(data, 10)
        asked = questions(data, 10, START_US + DAY_US, until_us, 50, seed=2)
        found.append(
            [
                *(np.where(rows > 0, ids[rows - 1], "").tolist()
                  for rows in (made.items_WL, made.targets_WL, asked.items_WL)),
                made.kinds_WL.tolist(),
                ids[asked.targets_W].tolist(),
            ]
        )  # fmt: skip

    assert found[0] == found[1]
    assert len(found[0][0]) > 20


def test_the_future_was_really_another(honest: Past, poisoned: Past) -> None:
    assert honest.dataset.to_us != poisoned.dataset.to_us
    assert honest.dataset.prices_cents != poisoned.dataset.prices_cents[: len(honest.dataset.items)]
