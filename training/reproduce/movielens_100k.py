"""MovieLens-100K split at one instant: nobody learns from what happened later."""

from __future__ import annotations

from dataclasses import replace

import duckdb
import numpy as np

from training import baselines
from training.config import EncoderConfig
from training.datasets import Interactions
from training.reproduce import neural, simple
from training.reproduce.comparison import Comparison, Place, Watch
from training.reproduce.leave_one_out import Asked, LeaveOneOut
from training.reproduce.movielens_1m import METRICS
from training.sequences import Questions

SEED = 20_261_121
STRENGTH = 500.0
MODEL = "SASRec, sampled softmax"
CONFIG = EncoderConfig(
    history_length=100,
    dimension=64,
    blocks=1,
    heads=1,
    dropout=0.3,
    negatives=512,
    id_dropout=0.0,
    max_epochs=100,
    patience=10,
    refit_epochs=0,
)
_LEARN_SHARE = 0.9
_VALIDATION_CUSTOMERS = 300


def run(place: Place, watch: Watch) -> list[Comparison]:
    """Simple models, then ours; nobody has published this split of this file."""
    whole, items = _ratings(place)
    log, test = _split(whole, items)
    sizes = simple.asserted(
        log.name,
        {
            "ratings": len(whole),
            "customers": len(whole.ranges()),
            "items": items,
            "learnt from": len(log.learn),
            "questions": len(test),
            "questions of films not rated before": int(
                (~np.isin(test.targets_W, log.learn.item)).sum()
            ),
        },
        {"ratings": 100_000, "customers": 943, "items": 1_682},
    )
    makers = {
        **simple.models(log.learn, items, STRENGTH),
        "popularity, last 7 days": lambda: baselines.recent_popularity(whole, items, 7.0),
    }
    beside = simple.notes(STRENGTH) | {"popularity, last 7 days": "counted anew each day"}
    found, seconds = simple.rows("movielens_100k: simple models", test, makers, beside, watch)
    ours, seconds[MODEL] = neural.row(log, MODEL, CONFIG, place, watch, SEED)
    return [
        Comparison(
            title="MovieLens-100K, split by time",
            protocol="All models learn from the oldest 90 % of ratings. Asked is the last film "
            "of each customer who rated after that instant, given all that the customer rated "
            "before; all 1,682 films that the customer has not rated compete (full ranking); "
            "ties count half. Ours stops by the last older rating of 300 customers, which it "
            "does not learn from.",
            statistics=sizes,
            metrics=METRICS,
            rows=(ours, *found),
            # So few questions decide nothing: a gate here would be met or missed by chance.
            gates=(replace(simple.above_the_best(MODEL, found, "ndcg_at_10"), stretch=True),),
            remarks=(
                "No published row: papers split this file in other ways. Few customers had rated "
                f"before the instant and rated after it: with {len(test)} questions one hit is "
                f"worth {1 / len(test):.4f} of recall, and models closer than a few hits are "
                "alike.",
            ),
            seconds=seconds,
            seed=SEED,
        )
    ]


def _ratings(place: Place) -> tuple[Interactions, int]:
    """Ratings by customer in order of time; of one second, in the order of the file."""
    with duckdb.connect() as connection:
        found = connection.execute(
            "SELECT user_id, movie_id, epoch_us(rated_at) AS at_us FROM (SELECT *, "
            "row_number() OVER () AS place FROM read_parquet(?)) ORDER BY user_id, at_us, place",
            [str(place.data / "movielens_100k" / "ratings.parquet")],
        ).fetchnumpy()
    columns = (np.asarray(found[name]) for name in ("user_id", "movie_id"))
    (_, customer), (ids, item) = (np.unique(column, return_inverse=True) for column in columns)
    at_us = np.asarray(found["at_us"]).astype(np.int64)
    return Interactions(customer, item, np.ones(len(item), np.int64), at_us, at_us), len(ids)


def _split(whole: Interactions, items: int) -> tuple[LeaveOneOut, Questions]:
    instant_us = int(np.sort(whole.occurred_at_us)[int(_LEARN_SHARE * len(whole)) - 1])
    old = whole.occurred_at_us <= instant_us
    test: list[Asked] = []
    older: list[Asked] = []
    for _, start, end in whole.ranges():
        if not old[end - 1] and end - start > 1:
            test.append((start, end - 1, int(whole.item[end - 1])))
        learnt = start + int(old[start:end].sum())  # Behind the last that is learnt from.
        if learnt - start > 2:
            older.append((start, learnt - 1, int(whole.item[learnt - 1])))
    # The newest, as the test is newer still.
    older.sort(key=lambda asked: int(whole.occurred_at_us[asked[1]]))
    validation = older[-_VALIDATION_CUSTOMERS:]
    taught = old.copy()
    taught[[end for _, end, _ in validation]] = False
    log = LeaveOneOut(
        "movielens_100k",
        items,
        whole.pick(old),
        whole.pick(taught),
        False,
        whole.item,
        validation,
        test,
    )
    asked_at_us = whole.occurred_at_us[[end for _, end, _ in test]]
    return log, replace(log.test(CONFIG.history_length), asked_at_us=asked_at_us)
