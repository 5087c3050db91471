"""What is read from history, in which order, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from nearline.contracts.event import ITEM_LISTED
from nearline.transforms import customer
from nearline.transforms.buckets import HOUR_US
from nearline.transforms.candidates import encoder_input
from tests.unit.training.histories import START_US, met, two_tastes, write
from training.config import SplitConfig
from training.datasets import NotEnoughHistory, read, split
from training.sequences import questions


def test_only_interactions_with_consent_for_personalization_are_read(tmp_path: Path) -> None:
    events = [
        met("ada", "lamp", START_US),
        met("ada", "desk", START_US + 1, consent=("analytics",)),
        met("bob", "lamp", START_US + 2, name="page_seen"),
        met(
            "shop",
            "vase",
            START_US + 3,
            name=ITEM_LISTED,
            price_cents=900,
            category="home",
            consent=(),
        ),
    ]

    dataset = read(write(tmp_path, events))

    assert dataset.customer_ids == ("ada",)
    assert dataset.items.item_ids == ("lamp", "vase")  # listed items can be recommended
    assert dataset.prices_cents == (0, 900)
    assert dataset.categories == ("", "home")
    assert len(dataset.interactions) == 1


def test_the_newest_stated_price_and_the_first_sight_of_an_item_are_kept(tmp_path: Path) -> None:
    events = [
        met("ada", "lamp", START_US, price_cents=100, category="old"),
        met("ada", "lamp", START_US + 5, price_cents=70, category="new"),
        met("ada", "lamp", START_US + 9),
    ]

    dataset = read(write(tmp_path, events))

    assert (dataset.prices_cents, dataset.categories) == ((70,), ("new",))
    assert dataset.first_seen_us == (START_US,)


def test_a_sequence_stands_in_the_order_in_which_serving_will_give_it(tmp_path: Path) -> None:
    """Ties in time and lines of one event too: the encoder may not meet another order online."""
    draw = np.random.default_rng(4)
    events = [
        met("ada", tuple(f"i{n}" for n in draw.choice(9, int(draw.integers(1, 4)), replace=False)),
            START_US + int(draw.integers(8)), name=str(draw.choice(["view_item", "purchase"])))
        for _ in range(30)
    ]  # fmt: skip
    events = list({event.event_id: event for event in events}.values())
    last = met("ada", "target", START_US + 100)
    dataset = read(write(tmp_path, [*events, last]))

    asked = questions(dataset.interactions, 50, START_US + 50, START_US + 100, 10, seed=1)
    items, kinds = encoder_input(customer.fold(events), dataset.items.index_of, 50)

    assert dataset.items.item_ids[asked.targets_W[0]] == "target"
    assert asked.items_WL[0].tolist() == items.tolist()
    assert asked.kinds_WL[0].tolist() == kinds.tolist()


def test_a_split_is_by_time_and_its_parts_hold_the_shares(tmp_path: Path) -> None:
    interactions = read(write(tmp_path, two_tastes(customers=20))).interactions

    parts = split(interactions, SplitConfig(validation_share=0.2, test_share=0.1))

    at_us = interactions.occurred_at_us
    assert parts.train_until_us < parts.validate_until_us < parts.test_until_us == at_us.max()
    assert (at_us <= parts.train_until_us).mean() == pytest.approx(0.7, abs=0.01)
    assert (at_us > parts.validate_until_us).mean() == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize("events", [[], [met("ada", "lamp", START_US, consent=("analytics",))]])
def test_a_history_without_usable_events_is_refused_with_what_to_do(
    tmp_path: Path, events: list[object]
) -> None:
    write(tmp_path, events)  # type: ignore[arg-type]

    with pytest.raises(NotEnoughHistory, match=r"training needs more history.*champion stays"):
        read(tmp_path)


def test_a_history_of_one_instant_cannot_be_split(tmp_path: Path) -> None:
    dataset = read(write(tmp_path, [met("ada", f"i{n}", START_US) for n in range(5)]))

    with pytest.raises(NotEnoughHistory, match="cannot be parted by time"):
        split(dataset.interactions, SplitConfig())


def test_what_serves_may_learn_all_that_is_known_when_the_newest_were_sent_late(
    tmp_path: Path,
) -> None:
    root = write(
        tmp_path, [met("ann", "a", START_US, known_after_us=HOUR_US), met("ann", "b", START_US + 1)]
    )

    dataset = read(root)

    assert dataset.known_to_us == START_US + HOUR_US
    assert dataset.to_us == START_US + 1
    assert len(dataset.interactions.until(dataset.known_to_us)) == 2


def test_what_was_sent_late_is_not_known_before_it_came(tmp_path: Path) -> None:
    root = write(
        tmp_path,
        [met("ann", "a", START_US), met("ann", "b", START_US + 1, known_after_us=HOUR_US)],
    )

    dataset = read(root)
    until_us = START_US + HOUR_US

    assert [len(dataset.interactions.until(until_us + late)) for late in (0, 1)] == [1, 2]
    assert [dataset.known_by(until_us + late).tolist() for late in (0, 1)] == [
        [True, False],
        [True, True],
    ]
