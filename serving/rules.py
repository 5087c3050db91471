"""What a list must look like, whatever the models say. Pure.

Hard rules withhold an item for good: purchased ever, excluded by the caller. Soft rules limit
a share of the list: one category to 30 %, and what the customer has looked at lately to 40 %,
since a list of old acquaintances helps nobody to find anything. Soft rules yield, and say so,
when the list would stay short of items: first the share of the seen, then that of a category.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Protocol

from nearline.contracts.answer import RuleEffect

RULES_VERSION = "builtin-2"
CATEGORY_SHARE = 0.3
SEEN_SHARE = 0.4
NEVER_PURCHASED, EXCLUDED = "never_purchased", "excluded"
CATEGORY, SEEN = "category_share", "seen_share"


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


@dataclass(frozen=True, slots=True)
class _Share:
    """A soft rule: items of one group take at most `share` of the list. Group "" is free."""

    rule: str
    share: float
    group_of: Callable[[Placeable], str]

    def limit(self, size: int) -> int:
        return max(1, int(self.share * size + 1e-9))


def choose(
    ranked: Sequence[Placeable],
    k: int,
    *,
    purchased: AbstractSet[str] = frozenset(),
    excluded: AbstractSet[str] = frozenset(),
    seen: AbstractSet[str] = frozenset(),
    dropped: Mapping[str, int] | None = None,
) -> Chosen:
    """The first `k` of a ranked sequence that the rules allow.

    `dropped` counts what retrieval withheld before ranking; it is added to the effects. A
    group may take `max(1, floor(share n))` of the n places that can be filled.
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
    effects = [
        RuleEffect(rule, hits[rule]) for rule in (NEVER_PURCHASED, EXCLUDED) if hits.get(rule)
    ]
    shares = (  # In the order in which they yield.
        _Share(SEEN, SEEN_SHARE, lambda one: SEEN if one.item_id in seen else ""),
        _Share(CATEGORY, CATEGORY_SHARE, lambda one: one.category),
    )
    taken, soft = _within(shares, ranked, allowed, min(k, len(allowed)))
    return Chosen(taken, (*effects, *soft))


def _within(
    shares: Sequence[_Share], ranked: Sequence[Placeable], allowed: Sequence[int], size: int
) -> tuple[tuple[int, ...], list[RuleEffect]]:
    """Fill `size` places, keeping all shares as long as possible; one more yields each time."""
    counts: dict[tuple[str, str], int] = {}
    stopped: dict[int, list[str]] = {}  # place -> the rules that passed it over at first
    taken: set[int] = set()
    for yielded in range(len(shares) + 1):
        for place in allowed:
            if len(taken) == size:
                break
            if place in taken:
                continue
            groups = [(share, share.group_of(ranked[place])) for share in shares]
            over = [
                share.rule
                for share, group in groups
                if group and counts.get((share.rule, group), 0) >= share.limit(size)
            ]
            if yielded == 0 and over:
                stopped[place] = over
            if any(share.rule in over for share in shares[yielded:]):
                continue
            taken.add(place)
            for share, group in groups:
                counts[(share.rule, group)] = counts.get((share.rule, group), 0) + 1
    effects: list[RuleEffect] = []
    for share in reversed(shares):
        passed = [place for place, rules in stopped.items() if share.rule in rules]
        relaxed = len(taken.intersection(passed))
        note = (
            f"relaxed for {relaxed} of {size} places: too few other candidates" if relaxed else ""
        )
        if passed:
            effects.append(RuleEffect(share.rule, len(passed) - relaxed, note))
    return tuple(sorted(taken)), effects
