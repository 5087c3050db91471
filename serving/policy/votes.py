"""Who orders the candidates of a scene: its voters, by weighted reciprocal rank fusion. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nearline.transforms.candidates import FUSION, fused
from serving.policy.model import RANKER


def voted(
    source_ranks: Sequence[Mapping[str, int]],
    ranker_scores: Sequence[float] | None,
    weights: Mapping[str, float],
) -> tuple[list[int], list[float]]:
    """The candidates' places best first, and in step with the candidates their scores.

    `source_ranks` holds for each candidate its rank (from 1) with each source that named it;
    `ranker_scores` the ranker's, higher is better, None where no ranker answered. Weights that
    name the ranker alone mean its own order and scores; without a ranker all sources count
    alike then. Otherwise a score is the sum of weight / (60 + rank) over the voters that
    answered, the ranker being one. Equal scores keep the order that the candidates came in.
    """
    if set(weights) == {RANKER}:
        if ranker_scores is not None:
            return _best_first(ranker_scores), list(ranker_scores)
        scores = [fused(ranks) for ranks in source_ranks]
        return _best_first(scores), scores
    scores = [
        sum(weights[name] / (FUSION + rank) for name, rank in ranks.items() if name in weights)
        for ranks in source_ranks
    ]
    if ranker_scores is not None and RANKER in weights:
        for rank, place in enumerate(_best_first(ranker_scores), start=1):
            scores[place] += weights[RANKER] / (FUSION + rank)
    return _best_first(scores), scores


def _best_first(scores: Sequence[float]) -> list[int]:
    return sorted(range(len(scores)), key=lambda place: -scores[place])
