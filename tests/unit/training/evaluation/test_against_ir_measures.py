"""Our ranking metrics give what `ir-measures` (pytrec_eval) gives, question by question."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import pytest

from training.evaluation.ranking import (
    Floats,
    hit_at_k,
    ndcg_at_k,
    precision_at_k,
    recall_at_k,
)

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # of its own imports
    warnings.simplefilter("ignore", SyntaxWarning)
    import ir_measures

QUESTIONS, ITEMS, K = 60, 40, 10


def runs(seed: int) -> tuple[Floats, Floats]:
    """(relevance_QI with gains 0 to 3, scores_QI without ties); the last rows are edge cases."""
    draw = np.random.default_rng(seed)
    relevance_QI = (draw.random((QUESTIONS, ITEMS)) < 0.12) * draw.integers(
        1, 4, (QUESTIONS, ITEMS)
    )
    relevance_QI[-1] = 0  # no target
    relevance_QI[-2] = 1  # every item is one: more targets than places
    relevance_QI[-3] = np.eye(ITEMS)[0]  # a single target
    relevance_QI[:-3, 0] += relevance_QI[:-3].sum(axis=1) == 0
    scores_QI = draw.permuted(np.tile(np.arange(ITEMS, dtype=float), (QUESTIONS, 1)), axis=1)
    scores_QI[-3, 0] = -1.0  # found last of all
    return relevance_QI.astype(float), scores_QI


def theirs(measure: object, relevance_QI: Floats, scores_QI: Floats) -> dict[int, float]:
    qrels = [
        ir_measures.Qrel(str(q), str(i), int(relevance_QI[q, i]))
        for q, i in np.argwhere(relevance_QI > 0)
    ]
    run = [
        ir_measures.ScoredDoc(str(q), str(i), float(scores_QI[q, i]))
        for q, i in np.ndindex(*scores_QI.shape)
    ]
    found = ir_measures.iter_calc([measure], qrels, run)
    return {int(one.query_id): float(one.value) for one in found}


def ours(metric: Callable[[Floats, np.ndarray, int], Floats], k: int, seed: int) -> Floats:
    relevance_QI, scores_QI = runs(seed)
    gains_QI = np.take_along_axis(relevance_QI, np.argsort(-scores_QI, axis=1), axis=1)
    if metric is ndcg_at_k:
        return ndcg_at_k(gains_QI, -np.sort(-relevance_QI, axis=1), k)
    return metric(gains_QI, (relevance_QI > 0).sum(axis=1), k)


@pytest.mark.parametrize("k", [1, 5, K, ITEMS])
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize(
    ("metric", "name"),
    [
        (recall_at_k, "R"),
        (ndcg_at_k, "nDCG"),
        (precision_at_k, "P"),
        (hit_at_k, "Success"),
    ],
)
def test_each_metric_equals_theirs_for_every_question(
    metric: Callable[[Floats, np.ndarray, int], Floats], name: str, seed: int, k: int
) -> None:
    values_Q = ours(metric, k, seed)
    known = theirs(getattr(ir_measures, name) @ k, *runs(seed))

    assert np.isnan(values_Q[-1])  # nothing to find; they leave it out
    assert QUESTIONS - 1 not in known
    assert len(known) == QUESTIONS - 1
    for question, value in known.items():
        assert values_Q[question] == pytest.approx(value, abs=1e-9), question
