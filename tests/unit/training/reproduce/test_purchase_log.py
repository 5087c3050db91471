"""Holding out a purchase as the published test does, on a log made by hand."""

from __future__ import annotations

import numpy as np

from nearline.contracts.event import Kind
from training.datasets import Interactions
from training.reproduce.purchase_log import hold_out
from training.reproduce.purchase_rows import NAMES, SOURCES, Asked, ask

ROWS = (  # customer, item, kind, instant
    (0, 1, Kind.VIEW, 1),
    (0, 1, Kind.PURCHASE, 2),
    (0, 2, Kind.VIEW, 3),
    (0, 2, Kind.CART, 4),
    (0, 2, Kind.PURCHASE, 5),
    (0, 3, Kind.VIEW, 6),
    (1, 1, Kind.VIEW, 1),
    (1, 2, Kind.VIEW, 2),
    (1, 2, Kind.PURCHASE, 3),
    (2, 5, Kind.PURCHASE, 3),
)


def log() -> Interactions:
    customer, item, kind, at_us = (np.array(column, np.int64) for column in zip(*ROWS, strict=True))
    return Interactions(customer, item, kind, at_us, at_us)


def test_the_newest_purchase_goes_with_every_event_of_its_item() -> None:
    held = hold_out(log(), newest=0, leaving=0)

    assert dict(zip(held.customer_Q.tolist(), held.target_Q.tolist(), strict=True)) == {0: 2, 1: 2}
    # Customer 2 keeps nothing and is not asked about.
    left = list(zip(held.log.customer.tolist(), held.log.item.tolist(), strict=True))
    assert left == [(0, 1), (0, 1), (0, 3), (1, 1)]


def test_only_customers_who_keep_a_purchase_are_asked_where_that_is_wanted() -> None:
    held = hold_out(log(), newest=0, leaving=1)

    assert held.customer_Q.tolist() == [0]
    assert (1, 2) in zip(held.log.customer.tolist(), held.log.item.tolist(), strict=True)


def test_the_second_newest_purchase_leaves_the_newest() -> None:
    held = hold_out(log(), newest=1, leaving=1)

    assert (held.customer_Q.tolist(), held.target_Q.tolist()) == ([0], [1])
    assert 2 in held.log.item[held.log.customer == 0]


def test_questions_end_with_the_log_and_bar_what_was_bought() -> None:
    asked = hold_out(log(), newest=0, leaving=1).questions()

    assert asked.items_WL[0, -3:].tolist() == [2, 2, 4]  # item rows + 1, oldest first
    assert asked.asked_at_us.tolist() == [7]
    assert asked.seen[0].tolist() == [1]


def test_candidates_never_hold_what_is_known_as_bought_and_sources_speak() -> None:
    found = ask(hold_out(log(), newest=0, leaving=1))

    assert 1 not in found.candidates[0]
    assert 2 in found.candidates[0]  # customer 1 looked at 1 and 2 within ten minutes
    row = found.features[0][found.candidates[0].tolist().index(2)]
    assert row[NAMES.index("looked_beside_bought_score")] > 0
    assert row[NAMES.index("looked_beside_bought_place")] == 1
    assert np.isnan(row[NAMES.index("carted_beside_place")])
    assert len(SOURCES) == 6


def test_ties_count_half_and_barred_items_do_not_compete() -> None:
    features = np.zeros((5, len(NAMES)), np.float32)
    features[:, 0] = [3, 1, 1, 1, 0]
    asked = Asked([np.arange(5)], [features], np.array([2]))

    assert asked.places(lambda values: values[:, 0]).tolist() == [3]  # 2, 3 or 4
    barred = [np.array([0, 2])]  # barring the target itself would be knowing the answer
    assert asked.places(lambda values: values[:, 0], barred).tolist() == [2]
    missed = Asked([np.arange(5)], [features], np.array([99]))
    assert missed.places(lambda values: values[:, 0])[0] > 1_000
