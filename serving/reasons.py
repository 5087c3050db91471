"""Why an item stands in the list, in words that a customer may read. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

from nearline.contracts.answer import Move, Reason
from serving.finding import Neighbour, Option
from serving.policy import names

SIMILAR_FROM = 0.2  # cosine from which "similar" is an honest word
INTEREST_FROM = 0.2  # share of recent interest
AT_MOST = 3
_OF_SOURCE = {  # Sources that tell their reason by their name, the most telling first.
    "repurchase": ("repurchase", "Time for it again?", "又到了该补货的时候"),
    "bought_together": ("bought_together", "Often bought together", "常一起购买"),
    "complements": ("complements", "Goes well together", "搭配推荐"),
    "similar": ("similar_to_this", "Similar to this", "相似商品"),
    "also_viewed": ("also_viewed", "Others also looked at this", "看过此商品的顾客也看了"),
    "arrivals": ("new_arrival", "Just arrived", "新品上架"),
}


def reasons_for(
    option: Option,
    near: Sequence[Neighbour],
    viewed: AbstractSet[str],
    interests: Mapping[str, float],
    moves: Sequence[Move] = (),
) -> tuple[Reason, ...]:
    """One to three reasons, the most telling first.

    `near` are the customer's recent interactions nearest to the item, `viewed` all of their
    items, `interests` the share of recent interest by category
    (`transforms.customer.category_affinity`).
    """
    sources = option.candidate.ranks
    reasons: list[Reason] = []
    if any(move.rule == names.PIN for move in moves):
        reasons.append(Reason("featured", "Featured", "活动推荐"))
    reasons += [Reason(*words) for source, words in _OF_SOURCE.items() if source in sources]
    if option.item_id in viewed:
        reasons.append(Reason("viewed_before", "You looked at this recently", "您最近看过"))
    other = next((one for one in near if one.recent.item_id != option.item_id), None)
    if other is not None and (other.cosine >= SIMILAR_FROM or set(sources) == {"encoder"}):
        reasons.append(
            Reason(
                "similar_to_viewed",
                "Goes with what you were interested in",
                "与您感兴趣的商品相近",
                other.recent.item_id,
            )
        )
    if "covisit" in sources:
        reasons.append(
            Reason(
                "others_also",
                "Others who looked at the same also went for this",
                "看过同款的顾客也看了",
            )
        )
    if option.category and interests.get(option.category, 0.0) >= INTEREST_FROM:
        reasons.append(
            Reason(
                "category_interest",
                f"You often look at {option.category}",
                f"您常看{option.category}",
            )
        )
    if "content" in sources and not reasons:
        reasons.append(
            Reason(
                "like_your_taste",
                "Of the kind and price that you look at",
                "品类和价位与您常看的相近",
            )
        )
    if "popular" in sources or not reasons:
        reasons.append(Reason("popular", "Popular right now", "近期热门"))
    return tuple(reasons[:AT_MOST])
