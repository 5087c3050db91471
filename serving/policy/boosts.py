"""Boosts of campaigns: an item's rank divided by a factor. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from serving.policy.model import Boost
from serving.policy.situation import Placeable


def boosted(
    order: Sequence[int], ranked: Sequence[Placeable], boosts: Sequence[Boost]
) -> tuple[list[int], list[int]]:
    """The order by rank / factor, and which places carry a factor.

    Ranks, not scores, are divided: a ranker's scores have no fixed scale and may be negative,
    where a product would push down. With factor 3 the 12th competes with the 4th, with 0.5 it
    falls to where the 24th stands; equal ones keep their order. Factors of several boosts of
    one item multiply.
    """
    of_item: dict[str, float] = {}
    of_category: dict[str, float] = {}
    for boost in boosts:
        table, key = (of_item, boost.item_id) if boost.item_id else (of_category, boost.category)
        table[key] = table.get(key, 1.0) * boost.factor
    weight_of: dict[int, float] = {}
    touched: list[int] = []
    for rank, place in enumerate(order, start=1):
        item = ranked[place]
        factor = of_item.get(item.item_id, 1.0) * of_category.get(item.category, 1.0)
        weight_of[place] = rank / factor
        if factor != 1.0:
            touched.append(place)
    return sorted(order, key=weight_of.__getitem__), touched
