"""The ranker's lessons and its trial, on questions made by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from nearline.transforms import customer
from nearline.transforms.buckets import DAY_US
from nearline.transforms.ranking import RANKER_FEATURES, Candidate
from training.ranker_trial import by_segment, judge
from training.ranking_rows import Question, Rows, ideal_gains, lessons, ordered_gains


def question(targets: dict[int, int], candidates: int = 4) -> Question:
    """Candidates 0, 1, ... in the order of retrieval; the encoder named the odd ones only."""
    found = tuple(
        Candidate(f"i{n}", n, "", {}, {"popular": n + 1} | ({"encoder": n} if n % 2 else {}))
        for n in range(candidates)
    )
    return Question(0, customer.EMPTY, found, targets)


def test_lessons_keep_every_hit_and_some_misses() -> None:
    asked = [question({2: 3}, 40), question({99: 1}, 40), question(dict.fromkeys(range(40), 1), 40)]

    kept = lessons(asked, negatives=5, seed=1)

    assert len(kept) == 1  # without a hit, or without a miss, there is no order to learn
    assert sorted(kept[0].gains.tolist()) == [0, 0, 0, 0, 0, 3]
    places = [one.item_index for one in kept[0].candidates]
    assert places == sorted(places)


def test_gains_stand_where_the_order_puts_them_and_the_ideal_counts_what_was_missed() -> None:
    asked = [question({1: 2, 77: 3})]

    assert ordered_gains(asked, lambda _, __: [3, 1], 3).tolist() == [[0, 2, 0]]
    assert ideal_gains(asked, 3).tolist() == [[3, 2, 0]]


def test_the_ranker_is_judged_against_each_source_on_the_same_questions() -> None:
    asked = [question({3: 1}), question({3: 1})]
    rows = Rows(
        np.zeros((8, len(RANKER_FEATURES)), np.float32),
        np.zeros(8, np.int64),
        np.repeat([0, 1], 4),
    )
    scores = np.array([0, 0, 0, 1, 1, 0, 0, 0], np.float32)  # right, then as retrieval had it

    verdict = judge(asked, scores, rows, seed=1)

    last, second = 1 / math.log2(5), 1 / math.log2(3)
    assert verdict.ndcg["ranker"] == pytest.approx((1 + last) / 2)
    assert verdict.ndcg["retrieval"] == verdict.ndcg["popular"] == pytest.approx(last)
    assert verdict.ndcg["encoder"] == pytest.approx(second)  # of the two that it named
    assert verdict.ndcg["revisit"] == 0
    assert verdict.best_source == "encoder"
    assert verdict.lead[0] == pytest.approx((1 + last) / 2 - second)


def test_each_kind_of_customer_is_judged_by_itself() -> None:
    old = replace(customer.EMPTY, first_seen_us=DAY_US)
    new = replace(customer.EMPTY, first_seen_us=30 * DAY_US)
    asked = [
        replace(question({3: 1}), as_of_us=31 * DAY_US, state=state)
        for state in (old, new, customer.EMPTY)
    ]
    rows = Rows(
        np.zeros((12, len(RANKER_FEATURES)), np.float32),
        np.zeros(12, np.int64),
        np.repeat([0, 1, 2], 4),
    )
    scores = np.array([0, 0, 0, 1, 1, 0, 0, 0, 1, 0, 0, 0], np.float32)

    found = by_segment(asked, judge(asked, scores, rows, seed=1), seed=1)

    assert found["returning"]["ndcg_at_10"] == 1.0  # the customer of a month
    assert found["new"]["ndcg_at_10"] == pytest.approx(1 / math.log2(5))  # of a day, and a stranger
    assert (found["returning"]["questions"], found["new"]["questions"]) == (1, 2)
    assert found["new"]["lead"] == pytest.approx(1 / math.log2(5) - 1 / math.log2(3))
    assert found["new"]["lead_low"] <= found["new"]["lead"] <= found["new"]["lead_high"]
    assert found["thin"]["questions"] == 3
    assert "long" not in found  # nobody: no figure rather than a made-up one
