"""MovieLens-1M, leave-one-out: the comparison that most papers on sequences share."""

from __future__ import annotations

from training.config import EncoderConfig
from training.reproduce import leave_one_out, neural, simple
from training.reproduce.comparison import Comparison, Gate, Origin, Place, Row, Watch

SEED = 20_261_121
STRENGTH = 1_000.0
MODEL = "SASRec, softmax over all items"
CONFIG = EncoderConfig(
    history_length=200,
    dimension=64,
    blocks=2,
    heads=1,
    dropout=0.2,
    negatives=0,  # All of them: with so few items they cost less than what they teach.
    averaging=0.995,  # 68 steps an epoch: the mean looks back three epochs.
    id_dropout=0.0,  # Nothing is known of the films but their ids.
    batch_size=128,
    cooling_from=18,
    max_epochs=42,
    patience=12,
    refit_epochs=0,
)
METRICS = ("recall_at_10", "ndcg_at_10", "recall_at_20", "ndcg_at_20", "mrr_at_20")
KNOWN = {  # (recall@10, NDCG@10), computed from the same file beforehand
    "popularity": (0.037, 0.0180),
    "ItemKNN": (0.157, 0.0863),
    "EASE": (0.232, 0.1290),
    "rules": (0.256, 0.1475),
    "rules + 0.5 ItemKNN": (0.207, 0.1221),
}
_PUBLISHED = (
    ("SASRec, BCE, 1 negative", 0.2500, 0.1341, "antklen/sasrec-bert4rec-recsys23"),
    ("BERT4Rec", 0.2843, 0.1537, "antklen/sasrec-bert4rec-recsys23"),
    ("GRU4Rec, cross-entropy", 0.2811, 0.1648, "facebookresearch/generative-recommenders"),
    ("gSASRec, 256 negatives", 0.3003, 0.1726, "asash/gSASRec-pytorch"),
    ("SASRec, sampled softmax", 0.2929, 0.1684, "blondered/transformer_benchmark"),
    ("eSASRec", 0.3133, 0.1772, "blondered/transformer_benchmark"),
    ("SASRec+, cross-entropy", 0.3152, 0.1821, "antklen/sasrec-bert4rec-recsys23"),
    ("SASRec+, 3,000 negatives", 0.3159, 0.1857, "antklen/sasrec-bert4rec-recsys23"),
    ("HSTU", 0.3097, 0.1720, "facebookresearch/generative-recommenders; other order of ties"),
    ("HSTU-large", 0.3294, 0.1893, "facebookresearch/generative-recommenders; other order of ties"),
)


def published(listed: tuple[tuple[str, float, float, str], ...]) -> list[Row]:
    """(model, recall@10, NDCG@10, source) as rows; named so that none is taken for ours."""
    return [
        Row(f"{model} (published)", Origin.PUBLISHED, {"recall_at_10": r, "ndcg_at_10": n}, source)
        for model, r, n, source in listed
    ]


def run(place: Place, watch: Watch) -> list[Comparison]:
    """Simple models, then ours, beside what is published."""
    log = leave_one_out.movielens_1m(place)
    sizes = simple.statistics(log, customers=6_040, items=3_416, interactions=999_611)
    found, seconds = simple.rows(
        "movielens_1m: simple models",
        log.test(CONFIG.history_length),
        simple.models(log.learn, log.items, STRENGTH),
        simple.notes(STRENGTH),
        watch,
    )
    ours, seconds[MODEL] = neural.row(log, MODEL, CONFIG, place, watch, SEED)
    return [
        Comparison(
            title="MovieLens-1M, leave-one-out",
            protocol="Each customer's last film is asked for; all 3,416 films that the customer "
            "has not rated compete (full ranking, never sampled negatives); ties count half. The "
            "simple models learn from all but the last films; ours lacks 2,000 customers' "
            "second-last films too, by which it stops.",
            statistics=sizes,
            metrics=METRICS,
            rows=(ours, *found, *published(_PUBLISHED)),
            gates=(
                Gate(MODEL, "ndcg_at_10", 0.168),
                Gate(MODEL, "recall_at_10", 0.29),
                Gate(MODEL, "ndcg_at_10", 0.182, stretch=True),
                simple.above_the_best(MODEL, found, "ndcg_at_10"),
            ),
            checks=tuple(simple.checks(KNOWN)),
            remarks=(
                "Leave-one-out flatters: a model learns from what others did after the moment of "
                "the question. The file has no times; movielens_100k is split at one instant.",
            ),
            seconds=seconds,
            seed=SEED,
        )
    ]
