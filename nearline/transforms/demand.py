"""What a customer has to do with one category: features of a pair, from the customer's state.

Pure, like `transforms.customer`: training asks as of a snapshot, serving as of now. Only the 50
interactions that the state remembers are seen.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from nearline.contracts.event import Kind
from nearline.transforms.buckets import HOUR_US
from nearline.transforms.customer import CustomerState, category_affinity, price_affinity

# What `category_demand` needs besides the customer's own features, in this order.
DEMAND_FEATURES: tuple[str, ...] = (
    "category_interest",  # share of recent interest, decayed, 0 to 1
    "category_age_hours",  # since last met in it; NaN where never
    "category_views",  # among the interactions remembered
    "category_carts",
    "category_purchases",
    "category_purchase_age_hours",  # NaN where none is remembered
    "category_bought_last",  # 1 where the newest purchase remembered was in it
    "category_price_ratio",  # mean price met in it over the customer's usual price; NaN unknown
    "category_popularity",  # its share of everybody's purchases in the last days
)


def demand(
    state: CustomerState, as_of_us: int, popularity: Mapping[str, float]
) -> dict[str, tuple[float, ...]]:
    """Each category that the customer is remembered to have met, with its `DEMAND_FEATURES`.

    `popularity` holds each category's share of the shop's purchases in [0, 1]; one that is
    missing there has 0. Interactions without a category belong to none.
    """
    interest = category_affinity(state, as_of_us)
    usual_cents, _ = price_affinity(state, as_of_us)
    bought = [recent for recent in state.recent if recent.kind == Kind.PURCHASE]
    last_bought = bought[0].category if bought else ""
    found: dict[str, tuple[float, ...]] = {}
    for category in sorted(interest):
        met = [recent for recent in state.recent if recent.category == category]
        prices = [recent.price_cents for recent in met if recent.price_cents > 0]
        paid_at_us = [recent.at_us for recent in met if recent.kind == Kind.PURCHASE]
        mean_cents = math.fsum(prices) / len(prices) if prices else math.nan
        found[category] = (
            interest[category],
            _hours(met[0].at_us, as_of_us),  # newest first
            float(sum(recent.kind == Kind.VIEW for recent in met)),
            float(sum(recent.kind == Kind.CART for recent in met)),
            float(len(paid_at_us)),
            _hours(paid_at_us[0], as_of_us) if paid_at_us else math.nan,
            float(category == last_bought),
            mean_cents / usual_cents,  # NaN where either is unknown
            popularity.get(category, 0.0),
        )
    return found


def _hours(instant_us: int, as_of_us: int) -> float:
    return max(0, as_of_us - instant_us) / HOUR_US
