"""Amazon Beauty (5-core), leave-one-out: few interactions, many items."""

from __future__ import annotations

from training.config import EncoderConfig
from training.reproduce import leave_one_out, neural, simple
from training.reproduce.comparison import Check, Comparison, Gate, Place, Watch
from training.reproduce.movielens_1m import METRICS, published

SEED = 20_261_121
STRENGTH = 200.0
MODEL = "SASRec, sampled softmax"
CONFIG = EncoderConfig(
    history_length=50,
    dimension=64,
    blocks=1,
    heads=1,
    dropout=0.5,
    negatives=1_024,
    averaging=0.998,
    id_dropout=0.0,
    batch_size=128,
    max_epochs=100,
    patience=8,
    refit_epochs=0,
)
KNOWN = {  # (recall@10, NDCG@10), computed beforehand without the second-last items
    "ItemKNN": (0.070, 0.0416),
    "rules": (0.074, 0.0467),
    "rules + 0.5 ItemKNN": (0.080, 0.0503),
}
KNOWN_OF_ALL = {"EASE": (0.087, 0.0497)}  # the same with them
_POPULARITY = (0.012, 0.0056)
_PUBLISHED = (
    ("GRU4Rec", 0.0283, 0.0137, "TIGER, NeurIPS 2023, table 1"),
    ("BERT4Rec", 0.0347, 0.0170, "TIGER, NeurIPS 2023, table 1"),
    ("SASRec", 0.0605, 0.0318, "TIGER, NeurIPS 2023, table 1"),
    ("S3-Rec", 0.0647, 0.0327, "TIGER, NeurIPS 2023, table 1"),
    ("TIGER", 0.0648, 0.0384, "TIGER, NeurIPS 2023, table 1"),
    ("HSTU-large", 0.0788, 0.0439, "facebookresearch/generative-recommenders"),
    ("SASRec, sampled softmax", 0.0921, 0.0531, "blondered/transformer_benchmark"),
    ("eSASRec", 0.0928, 0.0523, "blondered/transformer_benchmark"),
    ("SASRec+", 0.0974, 0.0588, "time-to-split grid"),
)


def run(place: Place, watch: Watch) -> list[Comparison]:
    """Simple models learnt in both usual ways, then ours, beside what is published."""
    log = leave_one_out.beauty(place)
    sizes = simple.statistics(log, customers=22_363, items=12_101, interactions=198_502)
    test, beside = log.test(CONFIG.history_length), simple.notes(STRENGTH)
    found, seconds = simple.rows(
        "beauty: simple models",
        test,
        simple.models(log.learn, log.items, STRENGTH),
        beside,
        watch,
    )
    shorter = dict(simple.models(simple.without_last(log.learn), log.items, STRENGTH))
    fewer, other_seconds = simple.rows(
        "beauty: check values",
        test,
        {name: shorter[name] for name in ("popularity", *KNOWN)},
        beside,
        watch,
    )
    ours, seconds[MODEL] = neural.row(log, MODEL, CONFIG, place, watch, SEED)
    return [
        Comparison(
            title="Amazon Beauty, 5-core, leave-one-out",
            protocol="Each customer's last item is asked for; all 12,101 items that the customer "
            "has not reviewed compete (full ranking, never sampled negatives); ties count half; "
            "reviews of one day stand in the order of the file. The simple models learn from all "
            "but the last items; ours lacks 2,000 customers' second-last items too, by which it "
            "stops.",
            statistics=sizes,
            metrics=METRICS,
            rows=(ours, *found, *published(_PUBLISHED)),
            gates=(
                Gate(MODEL, "ndcg_at_10", 0.053),
                Gate(MODEL, "recall_at_10", 0.092),
                Gate(MODEL, "ndcg_at_10", 0.0588, stretch=True),
                simple.above_the_best(MODEL, found, "ndcg_at_10"),
            ),
            checks=tuple(simple.checks(KNOWN_OF_ALL)),
            seconds=seconds,
            seed=SEED,
        ),
        Comparison(
            title="Check values of the simple models",
            protocol="The same questions, learnt without each customer's second-last item, as the "
            "values known beforehand were. Held against the table above it shows what those items "
            "teach: compare no two figures without asking which was used.",
            statistics=sizes,
            metrics=METRICS,
            rows=tuple(fewer),
            checks=(
                *simple.checks(KNOWN),
                # One in ninety is found at all, so how ties at the tenth place fall shows.
                *(
                    Check("popularity", metric, value, 0.10)
                    for metric, value in zip(METRICS[:2], _POPULARITY, strict=True)
                ),
            ),
            seconds=other_seconds,
            seed=SEED,
        ),
    ]
