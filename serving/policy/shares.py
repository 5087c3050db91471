"""Soft rules: how much of a list one category, and what was seen lately, may take. Pure.

Of n places a group may take max(1, floor(share n)). Where the list would stay short, the share
of the seen yields first, then that of a category, each only as far as needed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet

from nearline.contracts.answer import RuleEffect
from serving.policy.model import RuleSettings
from serving.policy.names import CATEGORY_SHARE, SEEN_SHARE
from serving.policy.situation import Placeable

_FIRST_NAMED = 10


class Tally:
    """Counts the groups of a list while it is made."""

    def __init__(
        self,
        ranked: Sequence[Placeable],
        seen: AbstractSet[str],
        settings: RuleSettings,
        size: int,
    ) -> None:
        self._ranked, self._seen = ranked, seen
        self._category_limit = _limit(settings.category_share, size)
        self._seen_limit = _limit(settings.seen_share, size)
        self._of_category: dict[str, int] = {}
        self._of_seen = 0

    def add(self, place: int) -> None:
        item = self._ranked[place]
        if item.category:
            self._of_category[item.category] = self._of_category.get(item.category, 0) + 1
        self._of_seen += item.item_id in self._seen

    def swap(self, old: int, new: int) -> None:
        """Count one item for another."""
        item = self._ranked[old]
        if item.category:
            self._of_category[item.category] -= 1
        self._of_seen -= item.item_id in self._seen
        self.add(new)

    def over(self, place: int) -> tuple[str, ...]:
        """The shares that one more item would exceed, the stronger rule first."""
        item = self._ranked[place]
        full = item.category and self._of_category.get(item.category, 0) >= self._category_limit
        met = self._of_seen >= self._seen_limit and item.item_id in self._seen
        if not (full or met):
            return ()
        return (CATEGORY_SHARE,) * bool(full) + (SEEN_SHARE,) * met

    def fits_instead(self, new: int, old: int) -> bool:
        """Whether one item may stand for another without any share getting worse."""
        comes, goes = self._ranked[new], self._ranked[old]
        for rule in self.over(new):
            if rule == CATEGORY_SHARE and comes.category != goes.category:
                return False
            if rule == SEEN_SHARE and goes.item_id not in self._seen:
                return False
        return True

    def excess(self) -> dict[str, int]:
        """By rule how many places are taken beyond its limit."""
        beyond = sum(max(0, n - self._category_limit) for n in self._of_category.values())
        return {CATEGORY_SHARE: beyond, SEEN_SHARE: max(0, self._of_seen - self._seen_limit)}


def fill(
    order: Sequence[int], taken: AbstractSet[int], tally: Tally, size: int
) -> tuple[set[int], dict[int, tuple[str, ...]]]:
    """`size` places of an order, those of `taken` among them, which are counted already.

    Returns them, and what was passed over at first with the rules that stopped it.
    """
    chosen = set(taken)
    stopped: dict[int, tuple[str, ...]] = {}
    for place in order:
        if len(chosen) == size:
            return chosen, stopped
        if place in chosen:
            continue
        if over := tally.over(place):
            stopped[place] = over
        else:
            chosen.add(place)
            tally.add(place)
    for strict in ((CATEGORY_SHARE,), ()):
        for place in stopped:
            if len(chosen) == size:
                return chosen, stopped
            if place in chosen or any(rule in strict for rule in tally.over(place)):
                continue
            chosen.add(place)
            tally.add(place)
    return chosen, stopped


def share_effects(
    ranked: Sequence[Placeable],
    listed: AbstractSet[int],
    stopped: dict[int, tuple[str, ...]],
    pinned_excess: dict[str, int],
    excess: dict[str, int],
) -> Iterable[RuleEffect]:
    """What the shares kept out, and how far they yielded."""
    for rule in (CATEGORY_SHARE, SEEN_SHARE):
        kept_out = [p for p, rules in stopped.items() if rule in rules and p not in listed]
        note = ""
        if excess[rule]:
            short, pins = excess[rule] > pinned_excess[rule], pinned_excess[rule] > 0
            why = " and ".join(["pins"] * pins + ["too few other candidates"] * short)
            note = f"relaxed for {excess[rule]} of {len(listed)} places: {why}"
        if kept_out or note:
            first = tuple(ranked[place].item_id for place in kept_out[:_FIRST_NAMED])
            yield RuleEffect(rule, len(kept_out), note, first)


def _limit(share: float, size: int) -> int:
    return max(1, int(share * size + 1e-9))
