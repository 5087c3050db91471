"""Real-time tags: what a marketer would call this customer right now."""

from __future__ import annotations

from nearline.contracts.answer import Tag
from nearline.contracts.event import Kind
from nearline.transforms.customer import (
    CustomerState,
    category_affinity,
    current_session,
    finish,
)

BIG_SPENDER_30D_CENTS = 50_000
FAN_OF = "fan_of:"  # and a category
CODES = (  # all others
    *("active_now", "cart_waiting", "new_customer", "never_purchased", "frequent_buyer"),
    *("big_spender", "dormant"),
)


def tags_of(state: CustomerState, as_of_us: int) -> tuple[Tag, ...]:
    """The tags that hold at an instant, in a fixed order; empty for a stranger."""
    if not state.first_seen_us:
        return ()
    values = finish(state, as_of_us)
    session = current_session(state, as_of_us)
    carted = {recent.item_id for recent in session if recent.kind == Kind.CART}
    bought = {recent.item_id for recent in session if recent.kind == Kind.PURCHASE}
    shares = category_affinity(state, as_of_us)
    tags: list[Tag] = []
    if session:
        tags.append(Tag("active_now", "Active now", "正在浏览"))
    if carted - bought:
        tags.append(Tag("cart_waiting", "Items waiting in the cart", "购物车待结算"))
    if values["tenure_days"] <= 7:
        tags.append(Tag("new_customer", "New this week", "本周新客"))
    if values["purchases_total"] == 0:
        tags.append(Tag("never_purchased", "Has never purchased", "尚未购买"))
    if values["purchases_30d"] >= 3:
        tags.append(Tag("frequent_buyer", "Buys often", "高频购买"))
    if values["spend_30d_cents"] >= BIG_SPENDER_30D_CENTS:
        tags.append(Tag("big_spender", "Spends much", "高消费"))
    if values["seen_age_hours"] >= 14 * 24:
        tags.append(Tag("dormant", "Away for two weeks or more", "沉睡两周以上"))
    if shares:
        top = max(sorted(shares), key=lambda name: shares[name])
        if shares[top] >= 0.5:
            tags.append(Tag(f"{FAN_OF}{top}", f"Mostly interested in {top}", f"偏好{top}"))
    return tuple(tags)
