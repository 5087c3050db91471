"""The ranker's stage: logged lists as lessons, and histories that cannot teach an order."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import msgspec
import numpy as np
import pytest

from nearline import served_files
from nearline.clock import utc
from nearline.contracts.event import EXPOSURE, Event, Line
from nearline.served import FEATURES_HASH, Served, rows_as_bytes
from nearline.transforms import customer, item
from nearline.transforms.buckets import DAY_US, HOUR_US, MINUTE_US
from nearline.transforms.ranking import RANKER_FEATURES
from tests.unit.training.histories import START_US, met, two_tastes, write
from tests.unit.training.silent import Silent
from training import datasets, ranker_stage
from training.config import RankerConfig, TrainingConfig
from training.datasets import split
from training.encoder_model import Encoder
from training.encoder_stage import Encoders
from training.journal import Journal
from training.leaks import GuardedStates
from training.recipes import quick

PLACES = 6
State = TypeVar("State")


class Folded:
    """States after each event, in memory; the newest that was known by then answers.

    `known_at_us` may tell another story of when an event became known: a leak.
    """

    def __init__(
        self,
        events: Iterable[Event],
        known_at_us: Callable[[Event], int] = lambda event: event.known_at_us,
    ) -> None:
        self.of_customer: dict[str, list[tuple[int, customer.CustomerState]]] = {}
        self.of_item: dict[str, list[tuple[int, item.ItemState]]] = {}
        for event in sorted(events, key=known_at_us):
            known = known_at_us(event)
            past = self.of_customer.setdefault(event.customer_id, [(0, customer.EMPTY)])
            past.append((known, customer.fold([event], past[-1][1])))
            for one in {line.item_id for line in event.lines}:
                held = self.of_item.setdefault(one, [(0, item.EMPTY)])
                held.append((known, item.fold(one, [event], held[-1][1])))

    def customers(
        self, ids: Sequence[str], as_of_us: Sequence[int]
    ) -> list[customer.CustomerState]:
        return [
            _newest(self.of_customer.get(one, [(0, customer.EMPTY)]), instant)
            for one, instant in zip(ids, as_of_us, strict=True)
        ]

    def items(self, ids: Sequence[str], as_of_us: Sequence[int]) -> list[item.ItemState]:
        return [
            _newest(self.of_item.get(one, [(0, item.EMPTY)]), instant)
            for one, instant in zip(ids, as_of_us, strict=True)
        ]


def _newest(past: Sequence[tuple[int, State]], instant_us: int) -> State:
    return past[bisect_right(past, instant_us, key=lambda one: one[0]) - 1][1]


def config() -> TrainingConfig:
    shape = RankerConfig(
        train_points=120, test_points=40, trees=10, patience=5, fewest_clicks=60, shown_lists=300
    )
    return replace(quick(), ranker=shape)


def learn(
    tmp_path: Path,
    events: list[Event],
    served: Path | None = None,
    known_at_us: Callable[[Event], int] = lambda event: event.known_at_us,
) -> tuple[object | None, Journal]:
    """The stage alone, with an encoder that has learnt nothing."""
    shape, journal = config(), Journal()
    dataset = datasets.read(write(tmp_path, events))
    model = Encoder(len(dataset.items), shape.encoder).eval()
    found = ranker_stage.learn(
        dataset,
        split(dataset.interactions, shape.split),
        GuardedStates(Folded(events, known_at_us), dataset),
        Encoders(model, model, model),
        served,
        shape,
        1,
        Silent(),
        journal,
    )
    return found, journal


def with_lists(events: list[Event], seed: int = 2) -> list[Event]:
    """Lists shown in the validation part; place k is looked at 1 / k as often as the first."""
    draw = np.random.default_rng(seed)
    names = sorted({event.customer_id for event in events if event.customer_id != "shop"})
    first_us = START_US + 17 * DAY_US
    more: list[Event] = []
    for number in range(400):
        who = names[number % len(names)]
        taste = 20 * (int(who[1:]) % 2)
        at_us = first_us + number * 14 * MINUTE_US + int(draw.integers(60)) * 1_000_000
        items = tuple(f"i{one:02d}" for one in draw.permutation(40)[:PLACES])
        more.append(met(who, items, at_us, name=EXPOSURE, consent=("analytics",)))
        for place, shown in enumerate(items, start=1):
            likes = taste <= int(shown[1:]) < taste + 20
            if draw.random() < (0.9 if likes else 0.1) / place:
                more.append(met(who, shown, at_us + place * MINUTE_US))
    return events + more


def test_lists_that_were_shown_teach_with_the_places_told_apart(tmp_path: Path) -> None:
    booster, journal = learn(tmp_path, with_lists(two_tastes(customers=60)))

    assert booster is not None
    assert journal.metrics["exposed_clicks"] >= 60
    assert 0.3 < journal.metrics["examined_place_2"] < 0.8  # one half
    assert journal.metrics["examined_place_5"] < 0.45  # one fifth
    assert not [what for what in journal.left_out if "shown" in what.en]


def test_without_logged_lists_the_ranker_learns_and_says_what_was_left_out(tmp_path: Path) -> None:
    booster, journal = learn(tmp_path, two_tastes(customers=60))

    assert booster is not None
    assert journal.metrics["exposed_lists"] == 0
    assert [what for what in journal.left_out if "60 clicks" in what.en and "60 次点击" in what.zh]
    assert 0 <= journal.metrics["rank_segment_returning_ndcg_at_10"] <= 1
    low, high = (
        journal.metrics[f"rank_segment_returning_ndcg_at_10_{end}"] for end in ("low", "high")
    )
    assert low < journal.metrics["rank_segment_returning_ndcg_at_10"] < high
    assert 0 < journal.ranking["ranker"]["coverage_at_10"] <= 1
    # What is popular is one list for both tastes; the ranker keeps to the customer's own.
    ours, popular = journal.ranking["ranker"], journal.ranking["popular"]
    assert ours["diversity_at_10"] < popular["diversity_at_10"] < 1
    assert ours["gini_at_10"] < popular["gini_at_10"]


def answered_live(folder: Path, events: list[Event]) -> int:
    """Logged answers, one just before each view of some days; how many. One column says so."""
    shown = [f"i{n:02d}" for n in range(40)]
    records = [
        Served(
            response_id=f"r{number}",
            customer_id=event.customer_id,
            as_of_us=event.occurred_at_us - 1,
            bundle="1",
            features_hash=FEATURES_HASH,
            item_ids=tuple(shown),
            categories=("",) * len(shown),
            item_positions=((),) * len(shown),
            rows=rows_as_bytes(np.full((len(shown), len(RANKER_FEATURES)), 777.0, np.float32)),
        )
        for number, event in enumerate(events)
        if event.name == "view_item"
        and START_US + 21 * DAY_US < event.occurred_at_us < START_US + 22 * DAY_US
    ]
    for record in records:
        day = f"day={utc(record.as_of_us):%Y-%m-%d}"
        served_files.write(folder / day / f"served-{record.response_id}.parquet", [record])
    return len(records)


def test_logged_answers_teach_first_and_recomputed_moments_fill_up(tmp_path: Path) -> None:
    events = two_tastes(customers=60)
    _, before = learn(tmp_path / "before", events)
    answers = answered_live(tmp_path / "served", events)

    booster, journal = learn(tmp_path / "after", events, tmp_path / "served")

    assert booster is not None
    logged = int(journal.metrics["logged_lessons"])
    assert 10 < logged <= answers
    assert before.trial is not None
    assert journal.trial is not None
    rows = journal.trial.train
    seen_R = (rows.features_RF == 777.0).all(axis=1)
    assert rows.question_R[seen_R].tolist() == sorted(rows.question_R[seen_R].tolist())
    assert set(rows.question_R[seen_R].tolist()) == set(range(logged))
    taught = len(np.unique(rows.question_R))
    assert logged < taught <= max(config().ranker.train_points, logged)
    assert not (before.trial.train.features_RF == 777.0).any()


def one_customer() -> list[Event]:
    return [met("c1", f"i{n % 12}", START_US + n * 3 * HOUR_US) for n in range(60)]


def one_item() -> list[Event]:
    return [met(f"c{n % 20}", "i1", START_US + n * HOUR_US) for n in range(120)]


def everything_is_met_every_day() -> list[Event]:
    """All candidates are hits: labels without a difference."""
    return [
        met(f"c{who}", f"i{n}", START_US + day * DAY_US + n * MINUTE_US)
        for who in range(5)
        for day in range(12)
        for n in range(4)
    ]


@pytest.mark.parametrize("history", [one_customer, one_item, everything_is_met_every_day])
def test_what_cannot_teach_an_order_leaves_the_ranker_out_in_a_sentence(
    tmp_path: Path, history: Callable[[], list[Event]]
) -> None:
    booster, journal = learn(tmp_path, history())

    assert booster is None
    assert len(journal.left_out) == 1
    assert journal.left_out[0].en.startswith("the ranker: it needs 20 moments")


def test_missing_prices_and_categories_leave_holes_and_a_ranker(tmp_path: Path) -> None:
    bare = [
        with_lines(event, tuple(Line(line.item_id) for line in event.lines))
        for event in two_tastes(customers=60)
    ]

    booster, journal = learn(tmp_path, bare)

    assert booster is not None
    assert journal.trial is not None
    price = journal.trial.exam.rows.features_RF[:, RANKER_FEATURES.index("item_price_cents")]
    assert np.isnan(price).all()
    assert "rank_ranker_ndcg_at_10" in journal.metrics


def with_lines(event: Event, lines: tuple[Line, ...]) -> Event:
    return msgspec.structs.replace(event, lines=lines)
