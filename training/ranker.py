"""The ranker: LambdaMART over the candidates, held to what sense demands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import xgboost

from nearline.transforms.ranking import RANKER_FEATURES, SOURCES
from training.config import RankerConfig
from training.ranking_rows import Rows

_SHOWN = 10

# Which way a feature may move a score, all else equal, and why. What is left out may move it
# either way: a price, an age, how much a customer does.
MONOTONE: Mapping[str, tuple[int, str]] = {
    **{
        f"{source}_score": (1, f"{source} believes more in an item that it scores higher")
        for source in SOURCES
    },
    **{
        f"{source}_rank": (-1, f"{source} believes less in an item that it names later")
        for source in SOURCES
    },
    "category_share": (1, "what the customer turns to most is no reason against an item"),
    "item_conversion_7d": (1, "an item that more of those who looked did buy is no worse for it"),
}


def fit(
    train: Rows,
    validation: Rows,
    config: RankerConfig,
    seed: int,
    threads: int,
    *,
    names: Sequence[str] = RANKER_FEATURES,
    monotone: Mapping[str, tuple[int, str]] = MONOTONE,
) -> Any:
    """A booster cut at its best round by NDCG@10 on the later, validation questions.

    `names` says what the columns of both are; `monotone` may hold names that are not there.
    """
    stop = xgboost.callback.EarlyStopping(rounds=config.patience, save_best=True, maximize=True)
    return xgboost.train(
        parameters(config, seed, threads, names, monotone),
        _matrix(train, threads, names),
        num_boost_round=config.trees,
        evals=[(_matrix(validation, threads, names), "validation")],
        callbacks=[stop],
        verbose_eval=False,
    )


def refit(
    train: Rows,
    rounds: int,
    config: RankerConfig,
    seed: int,
    threads: int,
    *,
    names: Sequence[str] = RANKER_FEATURES,
    monotone: Mapping[str, tuple[int, str]] = MONOTONE,
) -> Any:
    """A booster of so many rounds, for when a validation has already said how many."""
    return xgboost.train(
        parameters(config, seed, threads, names, monotone), _matrix(train, threads, names), rounds
    )


def parameters(
    config: RankerConfig,
    seed: int,
    threads: int,
    names: Sequence[str],
    monotone: Mapping[str, tuple[int, str]],
) -> dict[str, Any]:
    """XGBoost's, as `fit` and `refit` use them."""
    signs = {name: sign for name, (sign, _) in monotone.items() if name in names}
    return {
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
        "monotone_constraints": signs,
        "seed": seed,
        "nthread": threads,
    }


def scores(booster: Any, rows: Rows) -> npt.NDArray[np.float32]:
    """(R,): higher is better, comparable within one question."""
    return np.asarray(booster.inplace_predict(rows.features_RF), np.float32)


def _matrix(rows: Rows, threads: int, names: Sequence[str]) -> Any:
    return xgboost.DMatrix(
        rows.features_RF,
        label=rows.gains_R,
        qid=rows.question_R,
        weight=rows.weights_Q,
        feature_names=list(names),
        nthread=threads,
    )
