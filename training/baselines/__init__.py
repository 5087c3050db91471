"""Simple retrievers that the encoder must beat, learnt from the same part of the history."""

from training.baselines.association import association
from training.baselines.ease import MOST_ITEMS, TooManyItems, ease
from training.baselines.factors import ials
from training.baselines.item_knn import item_knn
from training.baselines.popular import popular_items, popularity, recent_popularity
from training.baselines.scorer import Scorer, Scores, added, history_matrix, knowing, ranks
from training.baselines.sequential import Weight, sequential_rules

__all__ = [
    "MOST_ITEMS",
    "Scorer",
    "Scores",
    "TooManyItems",
    "Weight",
    "added",
    "association",
    "ease",
    "history_matrix",
    "ials",
    "item_knn",
    "knowing",
    "popular_items",
    "popularity",
    "ranks",
    "recent_popularity",
    "sequential_rules",
]
