"""RetailRocket's view sessions in COTREC's split: the next click, which may be a return."""

from __future__ import annotations

from training import baselines
from training.baselines import Weight
from training.config import EncoderConfig
from training.reproduce import leave_one_out, neural, simple
from training.reproduce.comparison import Check, Comparison, Gate, Origin, Place, Row, Watch

SEED = 20_261_121
MODEL = "SASRec, sampled softmax"
RULES = "rules of the last click"
KNOWN = {"recall_at_20": 0.3967, "mrr_at_20": 0.1939}
CONFIG = EncoderConfig(
    history_length=30,
    dimension=64,
    blocks=1,
    heads=1,
    dropout=0.3,
    negatives=1_024,
    averaging=0.998,
    id_dropout=0.0,
    repeats=True,
    batch_size=256,
    max_epochs=40,
    patience=4,
    refit_epochs=0,
)
_PUBLISHED = (("SR-GNN", 0.503, 0.266), ("S2-DHCN", 0.537, 0.273), ("COTREC", 0.562, 0.300))


def run(place: Place, watch: Watch) -> list[Comparison]:
    """Rules and neighbours of sessions, then ours, beside what is published."""
    log = leave_one_out.retailrocket_sessions(place)
    sizes = simple.asserted(
        log.name,
        {
            "sessions": len(log.learn.ranges()),
            "clicks": len(log.learn),
            "items": log.items,
            "questions": len(log.test(1)),
        },
        {"sessions": 126_168, "clicks": 685_984, "items": 36_968, "questions": 15_132},
    )
    data, items = log.learn, log.items

    def rules(gap: int, decay: float, weight: Weight) -> baselines.Scorer:
        return baselines.sequential_rules(data, items, gap, decay, weight, repeats=True)

    found, seconds = simple.rows(
        "retailrocket_sessions: simple models",
        log.test(CONFIG.history_length),
        {
            "popularity": lambda: baselines.popularity(data, items),
            "ItemKNN": lambda: baselines.item_knn(data, items),
            "iALS": lambda: baselines.ials(data, items),
            RULES: lambda: rules(3, 0.0, Weight.COUNT),
            "rules, counts": lambda: rules(5, 0.6, Weight.COUNT),
            "rules, shares": lambda: rules(5, 0.6, Weight.SHARE),
            "rules, cosine": lambda: rules(5, 0.6, Weight.COSINE),
        },
        {RULES: "gap ≤ 3, weight 1/gap", "ItemKNN": "cosine, shrink 10, recency decay 0.8"},
        watch,
    )
    ours, seconds[MODEL] = neural.row(log, MODEL, CONFIG, place, watch, SEED)
    note = "from the papers, not read again"
    return [
        Comparison(
            title="RetailRocket sessions, next click",
            protocol="All 36,968 items compete for each of 15,132 next clicks, those of the "
            "session too; recall@20 is the papers' P@20; ties count half. EASE is left out: it "
            f"would invert a matrix of 36,968 rows (at most {baselines.MOST_ITEMS:,}).",
            statistics=sizes,
            metrics=("recall_at_20", "mrr_at_20", "ndcg_at_20", "recall_at_10", "ndcg_at_10"),
            rows=(
                ours,
                *found,
                *(
                    Row(name, Origin.PUBLISHED, {"recall_at_20": p, "mrr_at_20": m}, note)
                    for name, p, m in _PUBLISHED
                ),
            ),
            gates=(
                *(Gate(MODEL, metric, bound) for metric, bound in KNOWN.items()),
                *(simple.above_the_best(MODEL, found, metric) for metric in KNOWN),
            ),
            checks=tuple(Check(RULES, metric, value) for metric, value in KNOWN.items()),
            seconds=seconds,
            seed=SEED,
        )
    ]
