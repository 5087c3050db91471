"""Hard rules: which items do not come into a list at all. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from nearline.transforms.buckets import DAY_US
from nearline.transforms.item_facts import UNKNOWN_FACTS, ItemFacts
from serving.policy import names
from serving.policy.model import RuleSettings
from serving.policy.situation import Placeable, Situation


def withheld_by(situation: Situation, settings: RuleSettings) -> Callable[[Placeable], str]:
    """A function that says which rule withholds an item: the first in the order of truth, or "".

    What is unknown passes: stock, rating. Age does not: who does not state one is a child.
    """
    banned, banned_categories = settings.banned, settings.banned_categories
    age = (situation.age_years or 0) if settings.age_limits else 1_000
    floor = 0 if settings.min_rating is None else round(settings.min_rating * 100)
    stock_counts = settings.out_of_stock
    purchased = situation.purchased if settings.never_purchased else {}
    excluded, anchors, as_of_us = situation.excluded, situation.anchors, situation.as_of_us

    def rule(item: Placeable) -> str:
        item_id, facts = item.item_id, item.facts
        if item_id in banned or item.category in banned_categories:
            return names.BANNED
        if facts is not UNKNOWN_FACTS:
            if facts.banned:
                return names.BANNED
            if facts.min_age_years > age:
                return names.UNDER_AGE
            if stock_counts and facts.stock is not None and facts.stock <= 0:
                return names.OUT_OF_STOCK
            if facts.rating_hundredths is not None and facts.rating_hundredths < floor:
                return names.LOW_RATED
        if item_id in purchased and not due(
            as_of_us - purchased[item_id], item.category, facts, settings
        ):
            return names.NEVER_PURCHASED
        if item_id in excluded:
            return names.EXCLUDED
        return names.ANCHOR if item_id in anchors else ""

    return rule


def due(since_us: int, category: str, facts: ItemFacts, settings: RuleSettings) -> bool:
    """Whether an item that was bought so long ago may be shown to its buyer again."""
    days = facts.repurchase_days or settings.repurchasable_categories.get(category)
    return days is not None and since_us >= days * DAY_US


def sifted(
    ranked: Sequence[Placeable], situation: Situation, settings: RuleSettings
) -> tuple[list[int], dict[str, list[int]]]:
    """The places that may be shown, and by rule those that may not; each in ranked order.

    An item that is ranked twice counts once, where it stands first.
    """
    rule_of = withheld_by(situation, settings)
    allowed: list[int] = []
    withheld: dict[str, list[int]] = {}
    met: set[str] = set()
    for place, item in enumerate(ranked):
        rule = names.DUPLICATE if item.item_id in met else rule_of(item)
        met.add(item.item_id)
        if rule:
            withheld.setdefault(rule, []).append(place)
        else:
            allowed.append(place)
    return allowed, {rule: withheld[rule] for rule in names.WITHHOLDING if rule in withheld}
