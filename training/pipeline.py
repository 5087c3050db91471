"""From history to everything that a bundle holds, stage by stage.

Time is cut at two instants, T1 < T2. Encoder A learns up to T1 and stops by what follows.
The ranker learns from moments in (T1, T2], where A has not learnt. Encoder B is A refitted
up to T2; B with the ranker is judged on the test part after T2. What is served is B's
successor, refitted up to the end: the same procedure one step later, so the figures are those
of the procedure, and no event that judged it was learnt from. An item that arrived after T1 or
T2 is unknown to what was learnt by then, as it is to a bundle that serves: it counts as missed.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from nearline.contracts.bundle import Lineage
from nearline.say import say
from training import baselines, covisits, encoder, encoder_stage, index, ranker_stage, score_stage
from training.bundle import Learnt
from training.config import TrainingConfig
from training.datasets import Dataset, Interactions, split
from training.encoder_model import Encoder
from training.encoder_stage import Fit
from training.journal import Journal, Watch
from training.states import States
from training.warm_start import Line

_INDEX_TRIALS = 1_000  # Customers with whose vectors an approximate index is tried.


def run(
    dataset: Dataset,
    states: States,
    config: TrainingConfig,
    *,
    checkpoints: Path,
    served: Path,
    threads: int,
    left_at_us: Mapping[str, int] | None,
    lineage: Lineage,
    watch: Watch,
    line: Line | None = None,
    fit: Fit = encoder.fit,
) -> tuple[Learnt, Journal]:
    """Learn everything; raises NotEnoughHistory when there is nothing to learn from.

    A ranker or score that the history cannot teach is left out, with the reason in the
    journal. `line` is an encoder to begin with, `fit` what teaches one (see `encoder_stage`).
    """
    parts = split(dataset.interactions, config.split)
    journal = Journal()
    encoders = encoder_stage.learn(dataset, parts, config, checkpoints, watch, journal, line, fit)
    lineage = msgspec.structs.replace(lineage, parent=encoders.parent)
    booster = ranker_stage.learn(
        dataset, parts, states, encoders, served, config, threads, watch, journal
    )
    scores = score_stage.learn(dataset, states, config, threads, left_at_us, watch, journal)
    popular = baselines.popular_items(
        dataset.interactions, dataset.known_to_us, config.popular_days, config.popular_items
    )
    beside = covisits.build(
        dataset.interactions, len(dataset.items), dataset.known_to_us, config.covisits
    )
    chosen = _index(dataset.interactions, encoders.served, watch)
    journal.index = chosen.why
    learnt = Learnt(
        dataset, encoders.served, popular, booster, scores, journal.metrics, lineage, beside, chosen
    )
    return learnt, journal


def _index(data: Interactions, model: Encoder, watch: Watch) -> index.Chosen:
    """The served encoder's index, tried on customers as their histories end now."""
    watch.stage(say("index", "索引"), 1)
    chosen = index.choose(
        encoder.item_vectors(model),
        lambda: index.customer_queries(
            data,
            lambda items, kinds: encoder.query_vectors(model, items, kinds),
            model.length,
            limit=_INDEX_TRIALS,
            seed=0,
        ),
    )
    watch.tell(say(f"Index: {chosen.why.en}.", f"索引：{chosen.why.zh}。"))
    watch.step()
    return chosen
