"""Each leak, planted in what a stage of training is made of: the stage stops before it learns.

The mistakes are those that people make: a feature too fresh, a window too long, a cut forgotten.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nearline.contracts.event import Event
from nearline.transforms.buckets import DAY_US, HOUR_US
from tests.integration.training.test_ranker_stage import answered_live, learn
from tests.unit.training.histories import START_US, met, two_tastes, write
from tests.unit.training.scores.test_fit import CONFIG, shop
from tests.unit.training.silent import Silent
from training import datasets, encoder_stage, label_points, ranker_stage
from training.datasets import Interactions, Split, split
from training.journal import Journal
from training.label_points import Point
from training.leaks import Leak
from training.recipes import quick
from training.scores import fit
from training.scores.questions import Churn
from training.skew import logged_lessons

pytestmark = pytest.mark.slow

real_points, real_retriever = label_points.points, ranker_stage.retriever_at
real_lessons = logged_lessons.lessons_from_log


@pytest.fixture(scope="module")
def events() -> list[Event]:
    """Two tastes; one event in ten became known a day late, and items come all the time."""
    draw = np.random.default_rng(1)
    told = [
        met(one.customer_id, one.lines[0].item_id, one.occurred_at_us, name=one.name,
            known_after_us=DAY_US if draw.random() < 0.1 else 0)
        for one in two_tastes(customers=40)
    ]  # fmt: skip
    newer = [met(f"c{n % 40:03d}", f"new{n}", START_US + n * DAY_US) for n in range(30)]
    return [*told, *newer]


def test_without_a_leak_every_stage_learns(tmp_path: Path, events: list[Event]) -> None:
    booster, _ = learn(tmp_path, events)

    assert booster is not None


@pytest.mark.parametrize(
    ("known_at_us", "told"),
    [
        (lambda event: event.occurred_at_us, "count other events than were known at their instant"),
        (lambda event: event.known_at_us - 24 * HOUR_US, "hold an event after their instant"),
    ],
    ids=["a feature that came late", "events of the label in the features"],
)
def test_features_that_knew_too_much(
    tmp_path: Path, events: list[Event], known_at_us: Callable[[Event], int], told: str
) -> None:
    with pytest.raises(Leak, match=told):
        learn(tmp_path, events, known_at_us=known_at_us)


def features_later_than_their_labels(
    data: Interactions, after_us: int, until_us: int, **named: Any
) -> list[Point]:
    later_us = 6 * HOUR_US
    found = real_points(data, after_us, until_us - later_us, **named)
    return [replace(point, as_of_us=point.as_of_us + later_us) for point in found]


def windows_beyond_the_cut(
    data: Interactions, after_us: int, until_us: int, **named: Any
) -> list[Point]:
    return real_points(data, after_us, until_us + DAY_US, **named)


@pytest.mark.parametrize(
    ("leaky", "told"),
    [
        (features_later_than_their_labels, "are not of what was met within 24 hours after"),
        (windows_beyond_the_cut, "labels of past moments look beyond"),
    ],
)
def test_labels_at_the_wrong_time(
    tmp_path: Path,
    events: list[Event],
    monkeypatch: pytest.MonkeyPatch,
    leaky: Callable[..., Sequence[Point]],
    told: str,
) -> None:
    monkeypatch.setattr(ranker_stage, "points", leaky)

    with pytest.raises(Leak, match=told):
        learn(tmp_path, events)


def test_a_label_window_of_twice_the_length(
    tmp_path: Path, events: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(label_points, "HOUR_US", 2 * HOUR_US)

    with pytest.raises(Leak, match="labels of past moments are not of what was met within 24"):
        learn(tmp_path, events)


def test_logged_answers_with_another_window(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def leaky(records: Any, dataset: Any, after: int, until: int, **more: Any) -> Any:
        longer = more | {"hours": more["hours"] + 6}
        return real_lessons(records, dataset, after, until + 6 * HOUR_US, **longer)

    events = two_tastes(customers=60)
    answered_live(tmp_path / "served", events)
    monkeypatch.setattr(ranker_stage, "lessons_from_log", leaky)

    with pytest.raises(Leak, match="labels of logged answers are not of what was met within 24"):
        learn(tmp_path / "shop", events, tmp_path / "served")


def test_a_bundle_that_knows_items_of_the_future(
    tmp_path: Path, events: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    def leaky(model: Any, dataset: Any, until_us: int, config: Any) -> Any:
        return real_retriever(model, dataset, dataset.to_us, config)

    monkeypatch.setattr(ranker_stage, "retriever_at", leaky)

    with pytest.raises(Leak, match=r"retrieval \(encoder.*first seen"):
        learn(tmp_path, events)


def encoders(tmp_path: Path, events: list[Event]) -> Split:
    dataset, config = datasets.read(write(tmp_path / "history", events)), quick()
    parts = split(dataset.interactions, config.split)
    shape = replace(config, encoder=replace(config.encoder, max_epochs=1))
    encoder_stage.learn(dataset, parts, shape, tmp_path / "kept", Silent(), Journal())
    return parts


def test_an_encoder_that_learns_beyond_its_cut(
    tmp_path: Path, events: list[Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = encoders(tmp_path / "honest", events)
    honest = Interactions.until
    monkeypatch.setattr(
        Interactions, "until", lambda data, us: data.pick(data.occurred_at_us <= us)
    )
    with pytest.raises(Leak, match="the encoder was given"):
        encoders(tmp_path / "late", events)

    monkeypatch.setattr(
        Interactions,
        "until",
        lambda data, us: honest(data, us + DAY_US if us == parts.validate_until_us else us),
    )
    with pytest.raises(Leak, match="the refitted encoder was given"):
        encoders(tmp_path / "refitted", events)


def test_a_score_judged_on_rows_like_those_that_taught_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Rows of all snapshots shuffled and parted, as `train_test_split` would."""

    def leaky(newest: fit.Rows, matured: fit.Rows, *_: object) -> list[tuple[fit.Rows, fit.Rows]]:
        judged = np.random.default_rng(1).random(len(newest)) < 0.3
        return [(newest.pick(~judged), newest.pick(judged))]

    monkeypatch.setattr(fit, "_parts", leaky)

    with pytest.raises(Leak, match=r"churn_7d: .* customers are both learnt from and judged"):
        fit.fit(Churn(7, 10), *shop(two_tastes(customers=60)), CONFIG, seed=1, threads=1)
