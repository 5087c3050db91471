"""The ranker: LambdaMART over the candidates, and its trial against what it ranks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import xgboost

from nearline.transforms.ranking import RANKER_FEATURES, SOURCES
from training.config import RankerConfig
from training.metrics import ndcg_at_k, paired_bootstrap
from training.ranking_rows import Question, Rows, ideal_gains, ordered_gains

# Axes: Q questions, R rows, K places in a list.
_SHOWN = 10


@dataclass(frozen=True)
class Verdict:
    """Mean NDCG@10 of each order on the test questions, and the ranker's lead.

    `lead` is ranker minus the best single source with its 95 % interval, paired by question.
    """

    ndcg: dict[str, float]  # ranker, retrieval, encoder, revisit, popular
    best_source: str
    lead: tuple[float, float, float]
    questions: int


def fit(train: Rows, validation: Rows, config: RankerConfig, seed: int, threads: int) -> Any:
    """A booster cut at its best round by NDCG@10 on the later, validation questions."""
    parameters = {
        "objective": "rank:ndcg",
        "eval_metric": f"ndcg@{_SHOWN}",
        "ndcg_exp_gain": False,  # Gains 1, 2, 3 count as they are, as in `metrics`.
        "lambdarank_pair_method": "topk",
        "lambdarank_num_pair_per_sample": _SHOWN + 2,
        "tree_method": "hist",
        "max_depth": config.depth,
        "eta": config.learning_rate,
        "subsample": 0.8,
        "colsample_bytree": 0.8,
        "min_child_weight": 1.0,
        "seed": seed,
        "nthread": threads,
    }
    stop = xgboost.callback.EarlyStopping(rounds=config.patience, save_best=True, maximize=True)
    return xgboost.train(
        parameters,
        _matrix(train, threads),
        num_boost_round=config.trees,
        evals=[(_matrix(validation, threads), "validation")],
        callbacks=[stop],
        verbose_eval=False,
    )


def judge(
    questions: Sequence[Question], scores_R: npt.NDArray[np.float32], rows: Rows, seed: int
) -> Verdict:
    """Compare the ranker's order with retrieval's and with each single source's.

    All candidates compete and all targets count, those that retrieval missed as well.
    Ties keep the order of retrieval.
    """
    cuts = np.searchsorted(rows.question_R, np.arange(len(questions) + 1))

    def by_ranker(number: int, question: Question) -> list[int]:
        own = scores_R[cuts[number] : cuts[number + 1]]
        return np.argsort(-own, kind="stable").tolist()  # type: ignore[no-any-return]

    orders: dict[str, Callable[[int, Question], Sequence[int]]] = {
        "ranker": by_ranker,
        "retrieval": lambda _, asked: range(len(asked.candidates)),
        **{source: partial(_by_source, source) for source in SOURCES},
    }
    ideal_QK = ideal_gains(questions, _SHOWN)
    each = {
        name: ndcg_at_k(ordered_gains(questions, order, _SHOWN), ideal_QK, _SHOWN)
        for name, order in orders.items()
    }
    best = max(SOURCES, key=lambda name: float(each[name].mean()))
    return Verdict(
        ndcg={name: float(values.mean()) for name, values in each.items()},
        best_source=best,
        lead=paired_bootstrap(each["ranker"], each[best], seed),
        questions=len(questions),
    )


def scores(booster: Any, rows: Rows) -> npt.NDArray[np.float32]:
    """(R,): higher is better, comparable within one question."""
    return np.asarray(booster.inplace_predict(rows.features_RF), np.float32)


def _by_source(source: str, _: int, question: Question) -> list[int]:
    named = [place for place, one in enumerate(question.candidates) if source in one.ranks]
    return sorted(named, key=lambda place: question.candidates[place].ranks[source])


def _matrix(rows: Rows, threads: int) -> Any:
    return xgboost.DMatrix(
        rows.features_RF,
        label=rows.gains_R,
        qid=rows.question_R,
        feature_names=list(RANKER_FEATURES),
        nthread=threads,
    )
