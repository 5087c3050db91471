"""The ranker's lessons and its trial, on questions made by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from nearline.transforms import customer
from nearline.transforms.buckets import DAY_US
from nearline.transforms.ranking import RANKER_FEATURES, Candidate
from training.ranker_trial import Exam, by_segment, figures, judge
from training.ranking_rows import Question, Rows, ideal_gains, lessons


def question(targets: dict[int, int], candidates: int = 4) -> Question:
    """Candidates 0, 1, ... in the order of retrieval; the encoder named the odd ones only."""
    found = tuple(
        Candidate(f"i{n}", n, "", {}, {"popular": n + 1} | ({"encoder": n} if n % 2 else {}))
        for n in range(candidates)
    )
    return Question(0, customer.EMPTY, found, targets)


def exam_of(asked: list[Question]) -> Exam:
    """Rows that say only at which place each source named what."""
    found = [(number, one) for number, each in enumerate(asked) for one in each.candidates]
    features = np.full((len(found), len(RANKER_FEATURES)), np.nan, np.float32)
    for row, (_, one) in enumerate(found):
        for source, rank in one.ranks.items():
            features[row, RANKER_FEATURES.index(f"{source}_rank")] = rank
    gains = np.concatenate([one.gains for one in asked])
    return Exam.of(Rows(features, gains, np.array([number for number, _ in found])), asked)


def test_lessons_keep_every_hit_and_some_misses() -> None:
    asked = [question({2: 3}, 40), question({99: 1}, 40), question(dict.fromkeys(range(40), 1), 40)]

    kept = lessons(asked, negatives=5, seed=1)

    assert len(kept) == 1  # without a hit, or without a miss, there is no order to learn
    assert sorted(kept[0].gains.tolist()) == [0, 0, 0, 0, 0, 3]
    places = [one.item_index for one in kept[0].candidates]
    assert places == sorted(places)


def test_the_ideal_counts_what_retrieval_missed() -> None:
    assert ideal_gains([question({1: 2, 77: 3})], 3).tolist() == [[3, 2, 0]]


def test_lists_are_first_rows_in_an_order_and_hold_only_what_was_named() -> None:
    exam = exam_of([question({3: 2, 77: 3}), question({0: 1}, candidates=2)])

    assert exam.by_retrieval()[:, :5].tolist() == [[0, 1, 2, 3, -1], [4, 5, -1, -1, -1]]
    assert exam.by_source("encoder")[:, :3].tolist() == [[1, 3, -1], [5, -1, -1]]
    scores = np.array([0, 1, 1, 2, 5, 6], np.float32)
    assert exam.by_scores(scores)[:, :4].tolist() == [[3, 1, 2, 0], [5, 4, -1, -1]]  # ties stay
    assert exam.gains(exam.by_scores(scores))[:, :3].tolist() == [[2, 0, 0], [0, 1, 0]]
    ideal = 3 + 2 / math.log2(3)
    assert exam.ndcg(exam.by_scores(scores)).tolist() == pytest.approx(
        [2 / ideal, 1 / math.log2(3)]
    )


def test_of_many_candidates_ten_are_shown_and_a_question_without_any_has_none() -> None:
    exam = exam_of([question({0: 1}, candidates=0), question({11: 1}, candidates=12)])

    shown = exam.by_scores(np.arange(12, dtype=np.float32))

    assert shown[0].tolist() == [-1] * 10
    assert shown[1].tolist() == [11, 10, 9, 8, 7, 6, 5, 4, 3, 2]
    assert exam.ndcg(shown).tolist() == [0.0, 1.0]


def test_the_ranker_is_judged_against_each_source_on_the_same_questions() -> None:
    exam = exam_of([question({3: 1}), question({3: 1})])
    scores = np.array([0, 0, 0, 1, 1, 0, 0, 0], np.float32)  # right, then as retrieval had it

    verdict = judge(exam, scores, seed=1)

    last, second = 1 / math.log2(5), 1 / math.log2(3)
    assert verdict.ndcg["ranker"] == pytest.approx((1 + last) / 2)
    assert verdict.ndcg["retrieval"] == verdict.ndcg["popular"] == pytest.approx(last)
    assert verdict.ndcg["encoder"] == pytest.approx(second)  # of the two that it named
    assert verdict.ndcg["revisit"] == 0
    assert verdict.best_source == "encoder"
    assert verdict.lead[0] == pytest.approx((1 + last) / 2 - second)
    kept = figures(exam, verdict, seed=1)
    assert kept["rank_ranker_ndcg_at_10"] == verdict.ndcg["ranker"]
    assert kept["rank_retrieval_hit_at_10"] == 1.0
    assert kept["rank_revisit_hit_at_10"] == 0.0
    assert kept["rank_encoder_precision_at_10"] == pytest.approx(0.1)  # one of ten places
    assert kept["ranker_lead"] == verdict.lead[0]
    assert kept["rank_segment_thin_questions"] == kept["ranker_test_questions"] == 2


def test_each_kind_of_customer_is_judged_by_itself() -> None:
    old = replace(customer.EMPTY, first_seen_us=DAY_US)
    new = replace(customer.EMPTY, first_seen_us=30 * DAY_US)
    asked = [
        replace(question({3: 1}), as_of_us=31 * DAY_US, state=state)
        for state in (old, new, customer.EMPTY)
    ]
    exam = exam_of(asked)
    scores = np.array([0, 0, 0, 1, 1, 0, 0, 0, 1, 0, 0, 0], np.float32)

    found = by_segment(exam, judge(exam, scores, seed=1), seed=1)

    assert found["returning"]["ndcg_at_10"] == 1.0  # the customer of a month
    assert found["new"]["ndcg_at_10"] == pytest.approx(1 / math.log2(5))  # of a day, and a stranger
    assert (found["returning"]["questions"], found["new"]["questions"]) == (1, 2)
    assert found["new"]["lead"] == pytest.approx(1 / math.log2(5) - 1 / math.log2(3))
    assert found["new"]["lead_low"] <= found["new"]["lead"] <= found["new"]["lead_high"]
    assert found["thin"]["questions"] == 3
    assert "long" not in found  # nobody: no figure rather than a made-up one
