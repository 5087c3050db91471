"""Why an item stands in the list, in words that a customer may read. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet

from nearline.contracts.answer import Reason
from serving.retrieval import Option

SIMILAR_FROM = 0.2  # cosine from which "similar" is an honest word
INTEREST_FROM = 0.2  # share of recent interest
AT_MOST = 3


def reasons_for(
    option: Option, viewed: AbstractSet[str], interests: Mapping[str, float]
) -> tuple[Reason, ...]:
    """One to three reasons, the most telling first.

    `viewed` holds the customer's recent items, `interests` the share of recent interest by
    category (`transforms.customer.category_affinity`).
    """
    sources = option.candidate.ranks
    reasons: list[Reason] = []
    if "arrivals" in sources:
        reasons.append(Reason("new_arrival", "Just arrived", "新品上架"))
    if option.item_id in viewed:
        reasons.append(Reason("viewed_before", "You looked at this recently", "您最近看过"))
    if option.nearest_item_id is not None and (
        option.nearest_cosine >= SIMILAR_FROM or set(sources) == {"encoder"}
    ):
        reasons.append(
            Reason(
                "similar_to_viewed",
                "Goes with what you were interested in",
                "与您感兴趣的商品相近",
                option.nearest_item_id,
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
