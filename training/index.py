"""The index of a bundle: exact while that is quick, approximate only where it is nearly exact.

Below 200,000 items an exact search takes a millisecond or two. Above, a graph (HNSW) searches a
small part; how much of the exact answer it finds depends on the vectors, most of all on how
their lengths differ, so it is measured with vectors of real customers before it may serve.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np
import numpy.typing as npt

from nearline.contracts.bundle import IndexSpec
from nearline.say import Words
from training.datasets import Interactions
from training.retrieval import Queries
from training.sequences import padded

# Axes: I items, Q queries, D dimensions, L places in the history.
FloatID = npt.NDArray[np.float32]
FloatQD = npt.NDArray[np.float32]

FLAT_BELOW = 200_000
RECALL_AT = 100
LEAST_RECALL = 0.95
EF_SEARCH = (128, 256, 512, 1_024)  # How widely the graph is searched; each doubles the time.
_LINKS, _EF_CONSTRUCTION = 32, 200
_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class Chosen:
    """An index whose row is the `item_index`, what the manifest says of it, and why it is it.

    `why` is for a journal, without a full stop.
    """

    index: Any
    spec: IndexSpec
    why: Words


def choose(
    vectors_ID: FloatID, queries: Callable[[], FloatQD], flat_below: int = FLAT_BELOW
) -> Chosen:
    """The index for these items; `queries` gives vectors of real customers, if it comes to that.

    A graph serves when it finds at least 95 % of the 100 exact nearest, on average over the
    queries, searching as widely as that needs; else the exact index serves, slower but right.
    """
    items = len(vectors_ID)
    flat = flat_index(vectors_ID)
    if items < flat_below:
        why = Words(
            f"exact: {items:,} items are fewer than {flat_below:,}",
            f"精确检索：{items:,} 个商品，少于 {flat_below:,}",
        )
        return Chosen(flat, IndexSpec(), why)
    queries_QD = queries()
    if not len(queries_QD):
        why = Words(
            "exact: there are no customers to try a graph with",
            "精确检索：没有顾客可用于检验图索引",
        )
        return Chosen(flat, IndexSpec(), why)
    at = min(RECALL_AT, items)
    _, exact_QK = flat.search(queries_QD, at)
    graph = graph_index(vectors_ID)
    recall = 0.0
    for width in EF_SEARCH:
        graph.hnsw.efSearch = width
        recall = recall_of(graph, queries_QD, exact_QK)
        if recall >= LEAST_RECALL:
            why = Words(
                f"a graph (HNSW): it finds {recall:.1%} of the {at} nearest of {items:,} items "
                f"for {len(queries_QD):,} customers, searching {width} wide",
                f"图索引（HNSW）：对 {len(queries_QD):,} 位顾客，找到 {items:,} 个商品中"
                f"最近 {at} 个的 {recall:.1%}，搜索宽度 {width}",
            )
            return Chosen(graph, IndexSpec("hnsw", recall), why)
    why = Words(
        f"exact: a graph over {items:,} items finds {recall:.1%} of the {at} nearest for "
        f"{len(queries_QD):,} customers even searching {EF_SEARCH[-1]} wide, and "
        f"{LEAST_RECALL:.0%} are asked",
        f"精确检索：{items:,} 个商品的图索引即使搜索宽度为 {EF_SEARCH[-1]}，对 {len(queries_QD):,} "
        f"位顾客也只找到最近 {at} 个的 {recall:.1%}，要求 {LEAST_RECALL:.0%}",
    )
    return Chosen(flat, IndexSpec(), why)


def flat_index(vectors_ID: FloatID) -> Any:
    """An exact inner-product index; row = item_index."""
    index = faiss.IndexFlatIP(vectors_ID.shape[1])
    index.add(np.ascontiguousarray(vectors_ID, np.float32))
    return index


def graph_index(vectors_ID: FloatID) -> Any:
    """An HNSW index by inner product (Malkov and Yashunin 2016); row = item_index."""
    index = faiss.IndexHNSWFlat(vectors_ID.shape[1], _LINKS, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = _EF_CONSTRUCTION
    index.add(np.ascontiguousarray(vectors_ID, np.float32))
    return index


def recall_of(index: Any, queries_QD: FloatQD, exact_QK: npt.NDArray[np.int64]) -> float:
    """The share of the exact nearest that the index finds, averaged over the queries."""
    _, found_QK = index.search(queries_QD, exact_QK.shape[1])
    hits = [
        np.intersect1d(found, exact).size for found, exact in zip(found_QK, exact_QK, strict=True)
    ]
    return float(np.mean(hits) / exact_QK.shape[1])


def customer_queries(
    interactions: Interactions, queries: Queries, length: int, limit: int, seed: int
) -> FloatQD:
    """(Q, D): the query vectors of at most `limit` customers, as their histories end."""
    ranges = interactions.ranges()
    generator = np.random.default_rng(seed)
    picks = generator.permutation(len(ranges))[:limit].tolist()
    items, kinds = (
        np.zeros((len(picks), length), np.int64),
        np.zeros((len(picks), length), np.int64),
    )
    for row, pick in enumerate(picks):
        _, start, end = ranges[pick]
        first = max(start, end - length)
        items[row] = padded(interactions.item[first:end] + 1, length)
        kinds[row] = padded(interactions.kind[first:end], length)
    found = [
        queries(items[start : start + _AT_ONCE], kinds[start : start + _AT_ONCE])
        for start in range(0, len(picks), _AT_ONCE)
    ]
    return np.concatenate(found) if found else np.zeros((0, 0), np.float32)
