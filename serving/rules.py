"""What a list must look like, whatever the models say. Pure.

Hard rules withhold an item for good: purchased ever, excluded by the caller. The soft rule
keeps one category to 30 % of the list, and yields (and says so) when the list would stay
short of items.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Protocol

from nearline.contracts.answer import RuleEffect

RULES_VERSION = "builtin-1"
CATEGORY_SHARE = 0.3
NEVER_PURCHASED, EXCLUDED, CATEGORY = "never_purchased", "excluded", "category_share"


class Placeable(Protocol):
    """What a rule sees of an item. An empty category is unknown and never limited."""

    @property
    def item_id(self) -> str: ...

    @property
    def category(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Chosen:
    """Places in the ranked sequence that make the list, best first, and the rules' effects."""

    places: tuple[int, ...]
    effects: tuple[RuleEffect, ...]


def choose(
    ranked: Sequence[Placeable],
    k: int,
    *,
    purchased: AbstractSet[str] = frozenset(),
    excluded: AbstractSet[str] = frozenset(),
    dropped: Mapping[str, int] | None = None,
) -> Chosen:
    """The first `k` of a ranked sequence that the rules allow.

    `dropped` counts what retrieval withheld before ranking; it is added to the effects. A
    category may take `max(1, floor(0.3 n))` of the n places that can be filled.
    """
    hits = dict(dropped or {})
    allowed: list[int] = []
    for place, one in enumerate(ranked):
        if one.item_id in purchased:
            hits[NEVER_PURCHASED] = hits.get(NEVER_PURCHASED, 0) + 1
        elif one.item_id in excluded:
            hits[EXCLUDED] = hits.get(EXCLUDED, 0) + 1
        else:
            allowed.append(place)
    size = min(k, len(allowed))
    limit = max(1, int(CATEGORY_SHARE * size + 1e-9))
    taken: list[int] = []
    passed_over: list[int] = []
    counts: dict[str, int] = {}
    for place in allowed:
        if len(taken) == size:
            break
        category = ranked[place].category
        if category and counts.get(category, 0) >= limit:
            passed_over.append(place)
            continue
        counts[category] = counts.get(category, 0) + 1
        taken.append(place)
    relaxed = size - len(taken)
    effects = [
        RuleEffect(rule, hits[rule]) for rule in (NEVER_PURCHASED, EXCLUDED) if hits.get(rule)
    ]
    if passed_over:
        note = (
            f"relaxed for {relaxed} of {size} places: too few candidates of other categories"
            if relaxed
            else ""
        )
        effects.append(RuleEffect(CATEGORY, len(passed_over) - relaxed, note))
    return Chosen(tuple(sorted(taken + passed_over[:relaxed])), tuple(effects))
