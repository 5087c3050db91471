"""Each leak, planted: its guard fires, and is silent on the same data without it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from nearline.contracts.event import ITEM_LISTED, Event
from nearline.transforms.buckets import DAY_US, HOUR_US
from tests.unit.training.histories import START_US, met, two_tastes, write
from tests.unit.training.leaks.naive import NaiveStates
from training import leaks
from training.datasets import Dataset, read
from training.label_points import Point, points
from training.leaks import GuardedStates, Leak
from training.retrieval import Retriever

CUT_US = START_US + 20 * DAY_US
HORIZON_US = 7 * DAY_US


@dataclass(frozen=True)
class Past:
    events: list[Event]
    dataset: Dataset
    moments: list[Point]

    @property
    def who(self) -> list[str]:
        return [self.dataset.customer_ids[point.customer] for point in self.moments]

    @property
    def when(self) -> list[int]:
        return [point.as_of_us for point in self.moments]


@pytest.fixture(scope="module")
def past(tmp_path_factory: pytest.TempPathFactory) -> Past:
    """Two tastes; one event in ten was known a day late; two items came after the cut."""
    draw = np.random.default_rng(1)
    events = [
        met(one.customer_id, one.lines[0].item_id, one.occurred_at_us, name=one.name,
            known_after_us=DAY_US if one.name != ITEM_LISTED and draw.random() < 0.1 else 0)
        for one in two_tastes(customers=30)
    ]  # fmt: skip
    events += [met("c001", f"new{n}", CUT_US + DAY_US + n) for n in range(2)]
    events += [met("c001", "i03", CUT_US, name="add_to_wishlist")]  # counted by no state
    dataset = read(write(tmp_path_factory.mktemp("past"), events))
    found = points(
        dataset.interactions, START_US, dataset.to_us, hours=24, per_customer=6, limit=80, seed=1
    )
    return Past(events, dataset, found)


def test_states_as_they_were_known_pass(past: Past) -> None:
    honest = NaiveStates(past.events)
    guarded = GuardedStates(honest, past.dataset)

    assert guarded.customers(past.who, past.when) == honest.customers(past.who, past.when)
    items = list(past.dataset.items.item_ids)
    at = [CUT_US] * len(items)
    assert guarded.items(items, at) == honest.items(items, at)
    assert guarded.customers(["a stranger"], [CUT_US]) == honest.customers(["a stranger"], [CUT_US])
    assert guarded.items([], []) == []


def test_a_late_feature_is_caught(past: Past) -> None:
    """What had occurred by the moment, but was known only later: serving never had it."""
    leaky = GuardedStates(
        NaiveStates(past.events, lambda event, at_us: event.occurred_at_us <= at_us), past.dataset
    )

    with pytest.raises(Leak, match="count other events than were known at their instant"):
        leaky.customers(past.who, past.when)
    items = list(past.dataset.items.item_ids)
    with pytest.raises(Leak, match="items count other events"):
        leaky.items(items, [CUT_US] * len(items))


def test_a_post_label_event_in_the_features_is_caught(past: Past) -> None:
    leaky = GuardedStates(
        NaiveStates(past.events, lambda event, at_us: event.known_at_us <= at_us + 24 * HOUR_US),
        past.dataset,
    )

    with pytest.raises(Leak, match="hold an event after their instant"):
        leaky.customers(past.who, past.when)


def test_events_that_the_store_lost_are_caught_too(past: Past) -> None:
    lossy = NaiveStates([event for event in past.events if event.name != "purchase"])

    with pytest.raises(Leak, match="count other events"):
        GuardedStates(lossy, past.dataset).customers(past.who, past.when)


def test_no_sentence_names_a_customer_or_an_item(past: Past) -> None:
    leaky = NaiveStates(past.events, lambda event, at_us: True)

    with pytest.raises(Leak) as caught:
        GuardedStates(leaky, past.dataset).customers(past.who, past.when)

    assert "champion stays" in str(caught.value)
    assert not any(who in str(caught.value) for who in past.who)


def test_targets_after_the_cut_in_the_encoders_windows_are_caught(past: Past) -> None:
    data = past.dataset.interactions

    leaks.check_learnt(data.until(CUT_US), past.dataset, CUT_US, "the encoder")
    with pytest.raises(Leak, match=r"the encoder was given [\d,]+ interactions where [\d,]+ were"):
        leaks.check_learnt(data.until(CUT_US + DAY_US), past.dataset, CUT_US, "the encoder")
    swapped = data.pick(np.arange(len(data)) >= len(data) - len(data.until(CUT_US)))
    with pytest.raises(Leak, match="have others than were known"):  # as many, of other customers
        leaks.check_learnt(swapped, past.dataset, CUT_US, "the encoder")


def test_items_first_seen_after_the_bundle_are_caught_in_retrieval(past: Past) -> None:
    asked = [point for point in past.moments if point.as_of_us <= CUT_US]
    when = [point.as_of_us for point in asked]
    states = NaiveStates(past.events).customers(
        [past.dataset.customer_ids[point.customer] for point in asked], when
    )

    honest = retriever(past.dataset, CUT_US).candidates(states, when)
    leaky = retriever(past.dataset, past.dataset.to_us).candidates(states, when)

    leaks.check_candidates(honest, when, past.dataset, CUT_US)
    with pytest.raises(Leak, match=r"retrieval \(encoder.*first seen"):
        leaks.check_candidates(leaky, when, past.dataset, CUT_US)


def test_labels_are_of_what_came_strictly_after_within_the_window_and_before_the_end(
    tmp_path: Path,
) -> None:
    dataset = read(
        write(tmp_path, [met("ann", "boot", START_US), met("ann", "coat", START_US + 9)])
    )
    ann = dataset.customer_ids.index("ann")
    boot, coat = dataset.items.index_of["boot"], dataset.items.index_of["coat"]

    def checked(item: int, as_of_us: int, until_us: int = START_US + 20) -> None:
        leaks.check_labels([(ann, item, as_of_us)], dataset, 9, until_us, "the ranker")

    checked(boot, START_US - 1)
    checked(boot, START_US - 9)
    checked(coat, START_US)
    leaks.check_labels([], dataset, 9, START_US, "the ranker")
    for item, as_of_us in (
        (boot, START_US),  # at the very instant: known already
        (boot, START_US + 1),
        (boot, START_US - 10),  # beyond the window
        (coat, START_US - 1),
    ):
        with pytest.raises(Leak, match="1 of 1 labels of the ranker are not of what was met"):
            checked(item, as_of_us)
    with pytest.raises(Leak, match="1 labels of the ranker look beyond"):
        checked(coat, START_US, until_us=START_US + 8)


def snapshots() -> tuple[np.ndarray, np.ndarray]:
    """100 customers at each of three snapshots, a horizon apart."""
    at = np.repeat([CUT_US, CUT_US + HORIZON_US, CUT_US + 2 * HORIZON_US], 100)
    return np.tile(np.arange(100), 3), at


def test_later_snapshots_and_parted_customers_are_apart() -> None:
    who, at = snapshots()
    newest, parted = at == at.max(), who < 60

    leaks.check_apart((who[~newest], at[~newest]), (who[newest], at[newest]), HORIZON_US, "churn")
    leaks.check_apart((who[parted], at[parted]), (who[~parted], at[~parted]), HORIZON_US, "churn")


def test_calibration_rows_from_the_test_snapshot_are_caught() -> None:
    who, at = snapshots()
    newest = at == at.max()
    calibrated = newest | (at == CUT_US + HORIZON_US)

    with pytest.raises(Leak, match="100 customers are both learnt from and judged"):
        leaks.check_apart(
            (who[calibrated], at[calibrated]), (who[newest], at[newest]), HORIZON_US, "calibration"
        )


def test_a_random_split_of_rows_across_snapshots_is_caught() -> None:
    who, at = snapshots()
    judged = np.random.default_rng(3).random(len(who)) < 0.3

    with pytest.raises(Leak, match=r"churn: .* both learnt from and judged"):
        leaks.check_apart(
            (who[~judged], at[~judged]), (who[judged], at[judged]), HORIZON_US, "churn"
        )


def test_a_horizon_that_has_not_ended_is_caught() -> None:
    who, at = snapshots()
    newest = at == at.max()

    with pytest.raises(Leak, match="end after"):
        leaks.check_apart(
            (who[~newest], at[~newest]), (who[newest], at[newest]), HORIZON_US + 1, "churn"
        )


def retriever(dataset: Dataset, until_us: int) -> Retriever:
    """Nearest by vectors in which the newcomers lie everywhere at once."""
    draw = np.random.default_rng(7)
    vectors = draw.normal(size=(len(dataset.items), 8)).astype(np.float32)
    for row, item_id in enumerate(dataset.items.item_ids):
        if item_id.startswith("new"):
            vectors[row] = 100.0
    return Retriever.of(
        lambda items, kinds: np.ones((len(items), 8), np.float32),
        vectors,
        dataset,
        until_us,
        popular=[0, 1, 2],
        history_length=20,
    )
