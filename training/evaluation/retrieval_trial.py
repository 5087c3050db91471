"""Everybody who can find the next new item, asked the same questions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nearline.say import say
from training import baselines
from training.baselines.scorer import CHUNK, Scorer, competing
from training.datasets import Dataset
from training.evaluation import beyond
from training.evaluation.ranking import (
    first_places,
    ranks_of_targets,
    single_ndcg,
    single_target,
)
from training.evaluation.segments import by_segment, of_questions
from training.journal import Journal, Watch
from training.sequences import Questions

# Axes: Q questions, K places in the list, I items.
Ints = npt.NDArray[np.int64]

ENCODER = "encoder"
PLACES = 10
MOST_ITEMS_OF_EASE = 6_000  # Some seconds; EASE's cost grows with their cube.
COLD_MEETINGS = 5  # An item met no more often than this before is cold.


@dataclass(frozen=True)
class Asked:
    """The test's questions, and what had been learnt from before them.

    A bundle made at `learnt_until_us` knows the items of `known_I`; targets that arrived later
    count as missed by all but the list of the last 7 days, which is counted anew each day.
    """

    questions: Questions
    dataset: Dataset
    learnt_until_us: int
    known_I: npt.NDArray[np.bool_]


def judge(asked: Asked, encoder: Scorer, seed: int, watch: Watch, journal: Journal) -> Ints:
    """Rank every test question by the encoder and by each simple model; (Q,) encoder's places.

    Accuracy goes to the journal's figures; coverage, diversity, novelty, popularity and cold
    items to `journal.retrieval`, the encoder's and the best simple model's results by group to
    `journal.segments`.
    """
    makers = _makers(asked, encoder, seed, watch)
    watch.stage(say("encoder against simple rules", "与简单方法比较"), len(makers))
    journal.metrics["test_questions"] = float(len(asked.questions))
    missing = ~asked.known_I[asked.questions.targets_W]
    journal.metrics["test_questions_of_new_items"] = float(missing.sum())
    counts_I = _counts(asked)
    places: dict[str, Ints] = {}
    for name, make in makers.items():
        scorer = make()
        if scorer is None:
            watch.step()
            continue
        places[name], lists_QK = _answers(asked.questions, scorer)
        recall, ndcg = single_target(places[name], 20)[0], single_target(places[name], 10)[1]
        journal.metrics |= {f"{name}_recall_at_20": recall, f"{name}_ndcg_at_10": ndcg}
        journal.retrieval[name] = {"recall_at_20": recall, "ndcg_at_10": ndcg} | _figures(
            asked, places[name], lists_QK, counts_I
        )
        watch.step(note=f"{name} NDCG@10 {ndcg:.4f}")
    best = max(places, key=lambda name: (name != ENCODER, journal.metrics[f"{name}_ndcg_at_10"]))
    journal.segments |= _segments(asked, {name: places[name] for name in (ENCODER, best)}, counts_I)
    return places[ENCODER]


def _makers(
    asked: Asked, encoder: Scorer, seed: int, watch: Watch
) -> dict[str, Callable[[], Scorer | None]]:
    data, items = asked.dataset.interactions, len(asked.dataset.items)
    past = data.until(asked.learnt_until_us)

    def knowing(make: Callable[[], Scorer | None]) -> Callable[[], Scorer | None]:
        def made() -> Scorer | None:
            scorer = make()
            return None if scorer is None else baselines.knowing(scorer, asked.known_I)

        return made

    makers = {
        ENCODER: knowing(lambda: encoder),
        "rules": knowing(lambda: baselines.sequential_rules(past, items)),
        "item_knn": knowing(lambda: baselines.item_knn(past, items)),
        "ease": knowing(lambda: baselines.ease(past, items)),
        "ials": knowing(lambda: baselines.ials(past, items, seed=seed)),
        "association": knowing(lambda: baselines.association(past, items)),
        "popularity": knowing(lambda: baselines.popularity(past, items)),
        "popularity_7d": lambda: baselines.recent_popularity(data, items, 7.0),
    }
    if items > MOST_ITEMS_OF_EASE:
        del makers["ease"]
        watch.tell(
            say(
                f"EASE is not tried beside the encoder: it inverts a matrix of {items:,} items, "
                f"and {MOST_ITEMS_OF_EASE:,} are the most that take seconds.",
                f"未与 EASE 比较：需对 {items:,} 个商品的矩阵求逆，上限为 {MOST_ITEMS_OF_EASE:,}。",
            )
        )
    return makers


def _answers(questions: Questions, scorer: Scorer) -> tuple[Ints, Ints]:
    """(Q,) places of the targets, and (Q, K) the lists."""
    width = 0
    places, lists = [np.zeros(0, np.int64)], []
    for part in questions.chunks(CHUNK):
        scores_QI = competing(part, scorer)
        places.append(ranks_of_targets(scores_QI, part.targets_W))
        lists.append(first_places(scores_QI, PLACES))
        width = lists[-1].shape[1]
    return np.concatenate(places), np.concatenate([np.zeros((0, width), np.int64), *lists])


def _counts(asked: Asked) -> Ints:
    past = asked.dataset.interactions.until(asked.learnt_until_us)
    return np.bincount(past.item, minlength=len(asked.dataset.items))


def _figures(asked: Asked, places_Q: Ints, lists_QK: Ints, counts_I: Ints) -> dict[str, float]:
    cold_Q = counts_I[asked.questions.targets_W] <= COLD_MEETINGS
    return {
        **beyond.figures(lists_QK, counts_I, asked.dataset.categories),
        "cold_recall_at_20": single_target(places_Q[cold_Q], 20)[0],
    }


def _segments(asked: Asked, places: dict[str, Ints], counts_I: Ints) -> dict[str, dict[str, float]]:
    """By group: each model's NDCG@10, and the number of questions."""
    past = asked.dataset.interactions.until(asked.learnt_until_us)
    marks = of_questions(
        asked.questions,
        ~np.isin(asked.questions.customer_W, past.customer),
        counts_I > COLD_MEETINGS,
        asked.dataset.categories,
    )
    found: dict[str, dict[str, float]] = {}
    for model, places_Q in places.items():
        for name, segment in by_segment(single_ndcg(places_Q, PLACES), marks).items():
            row = found.setdefault(name, {"questions": float(segment.questions)})
            row[model] = segment.value
    return found
