"""The finished list looked at again, by other code than made it. Pure.

What this finds is a fault of Nearline, not of a shop: it is counted and must stay at zero.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from serving.policy.model import RuleSettings
from serving.policy.situation import Placeable, Situation

_DAY_US = 86_400 * 1_000_000


def violations(
    items: Sequence[Placeable],
    situation: Situation,
    settings: RuleSettings,
    relaxed: AbstractSet[str] = frozenset(),
) -> tuple[str, ...]:
    """The rules that a finished list breaks, by name; () for a good one.

    `relaxed` are the shares that the answer declares as relaxed.
    """
    personal = situation.personalized
    purchased = situation.purchased if personal and settings.never_purchased else {}
    ids = {one.item_id for one in items}
    found = {
        "banned": ids & settings.banned
        or any(one.facts.banned or one.category in settings.banned_categories for one in items),
        "under_age": settings.age_limits
        and any(one.facts.min_age_years > (situation.age_years or 0) for one in items),
        "out_of_stock": settings.out_of_stock and any(one.facts.stock == 0 for one in items),
        "low_rated": settings.min_rating is not None
        and any(
            one.facts.rating_hundredths is not None
            and one.facts.rating_hundredths / 100 < settings.min_rating
            for one in items
        ),
        "never_purchased": any(
            one.item_id in purchased
            and not _due(one, situation.as_of_us - purchased[one.item_id], settings)
            for one in items
        ),
        "excluded": ids & situation.excluded,
        "anchor": ids & situation.anchors,
        "frequency_cap": personal and situation.capped and len(items) > 0,
        "duplicate": len(ids) < len(items),
        "too_long": len(items) > situation.k,
    }
    kinds = Counter(one.category for one in items if one.category)
    met = len(ids & situation.seen) if personal else 0
    for rule, share, most in (
        ("category_share", settings.category_share, max(kinds.values(), default=0)),
        ("seen_share", settings.seen_share, met),
    ):
        limit = max(1, math.floor(round(share * len(items), 6)))
        found[rule] = most > limit and rule not in relaxed
    return tuple(rule for rule, broken in found.items() if broken)


def _due(item: Placeable, since_us: int, settings: RuleSettings) -> bool:
    """Whether an item that was bought may be offered again."""
    if item.facts.repurchase_days > 0:
        return since_us >= item.facts.repurchase_days * _DAY_US
    if item.category in settings.repurchasable_categories:
        return since_us >= settings.repurchasable_categories[item.category] * _DAY_US
    return False
