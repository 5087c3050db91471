"""What every feature and every stored column means: the one place where it is written down.

Feast's views, the documentation page and the people who read an answer take it from here; a
test fails when a feature has no entry, or an entry no feature.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from nearline.contracts.event import StatedFacts
from nearline.transforms import customer, item


@dataclass(frozen=True, slots=True)
class Feature:
    """One number in a vector. `window` says which past it looks at, in words."""

    name: str
    unit: str
    window: str
    en: str
    zh: str


_WINDOWS = {
    "1h": ("last hour, exact to 1 min", "最近 1 小时"),
    "24h": ("last 24 hours, exact to 30 min", "最近 24 小时"),
    "7d": ("last 7 days, exact to 6 h", "最近 7 天"),
    "30d": ("last 30 days, exact to 6 h", "最近 30 天"),
}
_EVER = "since the first event"
_NOW = "at the instant"
_RECENT = f"newest {customer.RECENT_LIMIT} interactions"
_DECAYED = f"{_RECENT}, halved every 7 days"
_SESSION = "session so far; it ends after 30 idle minutes"


def _windowed(windows: tuple[str, ...], customers: bool) -> Iterator[Feature]:
    who_en = "of the customer" if customers else "of the item"
    for name in windows:
        window, zh = _WINDOWS[name]
        yield Feature(f"views_{name}", "count", window, f"Item views {who_en}.", f"{zh}浏览次数")
        yield Feature(
            f"carts_{name}", "count", window, f"Additions to the cart {who_en}.", f"{zh}加购次数"
        )
        yield Feature(
            f"purchases_{name}", "count", window, f"Items purchased {who_en}.", f"{zh}购买件数"
        )
        if customers:
            yield Feature(
                f"spend_{name}_cents",
                "cents",
                window,
                "Value of the customer's purchases: as stated, else the sum of priced lines.",
                f"{zh}消费金额",
            )


CUSTOMER: tuple[Feature, ...] = (
    *_windowed(("1h", "24h", "7d", "30d"), customers=True),
    Feature("view_age_hours", "hours", _NOW, "Since the newest view; NaN: never.", "距上次浏览"),
    Feature(
        "cart_age_hours",
        "hours",
        _NOW,
        "Since the newest addition to the cart; NaN: never.",
        "距上次加购",
    ),
    Feature(
        "purchase_age_hours", "hours", _NOW, "Since the newest purchase; NaN: never.", "距上次购买"
    ),
    Feature(
        "seen_age_hours", "hours", _NOW, "Since the newest interaction; NaN: never.", "距上次互动"
    ),
    Feature("tenure_days", "days", _NOW, "Since the first interaction; NaN: never.", "距首次互动"),
    Feature("views_total", "count", _EVER, "Item views.", "累计浏览次数"),
    Feature("carts_total", "count", _EVER, "Additions to the cart.", "累计加购次数"),
    Feature("purchases_total", "count", _EVER, "Items purchased.", "累计购买件数"),
    Feature("orders_total", "count", _EVER, "Purchases, however many items each.", "累计订单数"),
    Feature("spend_total_cents", "cents", _EVER, "Value of all purchases.", "累计消费金额"),
    Feature("session_events", "count", _SESSION, "Interactions; at most 50.", "本次会话互动次数"),
    Feature("session_carts", "count", _SESSION, "Additions to the cart.", "本次会话加购次数"),
    Feature(
        "session_minutes", "minutes", _SESSION, "From first to newest interaction.", "本次会话时长"
    ),
    Feature(
        "price_affinity_cents",
        "cents",
        _DECAYED,
        "Mean price of what was looked at, weighed by kind; NaN: no price known.",
        "偏好价位",
    ),
    Feature(
        "price_affinity_spread",
        "ratio",
        _DECAYED,
        "Standard deviation of those prices over their mean; NaN: no price known.",
        "价位离散程度",
    ),
    Feature("categories_recent", "count", _RECENT, "Different categories.", "近期浏览类目数"),
    Feature(
        "top_category_share",
        "share in [0, 1]",
        _DECAYED,
        "Share of interest that the strongest category has; 0: no category known.",
        "最感兴趣类目的占比",
    ),
)
ITEM: tuple[Feature, ...] = (
    *_windowed(("1h", "24h", "7d"), customers=False),
    Feature(
        "conversion_7d",
        "ratio",
        _WINDOWS["7d"][0],
        f"Purchases per view, shrunk towards {item.PRIOR_CONVERSION:.0%} with the weight of "
        f"{item.PRIOR_VIEWS:.0f} views.",
        "最近 7 天转化率",
    ),
    Feature("views_total", "count", _EVER, "Views by all customers.", "累计浏览次数"),
    Feature("purchases_total", "count", _EVER, "Purchases by all customers.", "累计购买件数"),
    Feature(
        "price_cents",
        "cents",
        _NOW,
        "Price as last listed, else as other events last said; NaN: never stated.",
        "当前价格",
    ),
    Feature(
        "age_days", "days", _NOW, "Since the item was listed or first seen; NaN: never.", "上架时长"
    ),
)

_US = "UTC microseconds since the epoch; 0: never"
_RECENTS = f"of the newest {customer.RECENT_LIMIT} interactions, newest first"
_FACT_CODES = ", ".join(f"{code} {name}" for code, name in enumerate(StatedFacts.__struct_fields__))
_LISTED = "a listing, which stands above what other events say; 0: of another event."
_BUCKET_ROWS = "rows of bucket index, then one number per count, laid end to end"
CUSTOMER_COLUMNS: dict[str, str] = {
    "first_seen_us": f"First interaction, {_US}.",
    "last_seen_us": f"Newest interaction, {_US}.",
    "last_view_us": f"Newest view, {_US}.",
    "last_cart_us": f"Newest addition to the cart, {_US}.",
    "last_purchase_us": f"Newest purchase, {_US}.",
    "views_total": "Item views ever, count.",
    "carts_total": "Additions to the cart ever, count.",
    "purchases_total": "Items purchased ever, count.",
    "orders_total": "Purchases ever, count.",
    "spend_total_cents": "Value of all purchases, cents.",
    "minute_buckets": f"Views, carts, purchases, cents by minute, one hour: {_BUCKET_ROWS}.",
    "half_hour_buckets": f"The same by half hour, one day: {_BUCKET_ROWS}.",
    "quarter_day_buckets": f"The same by six hours, 30 days: {_BUCKET_ROWS}.",
    "purchase_days": "Orders by day, ten years: rows of day since 1970 (UTC), then the orders "
    "on it, laid end to end.",
    "recent_at_us": f"Instants {_RECENTS}, UTC microseconds.",
    "recent_keys": f"Tie-breaking keys {_RECENTS}: 63-bit hashes of event and line.",
    "recent_item_ids": f"Items {_RECENTS}.",
    "recent_kinds": f"Kinds {_RECENTS}: 1 view, 2 cart, 3 purchase, 4 favourite.",
    "recent_prices_cents": f"Prices per unit {_RECENTS}, cents; 0: unknown.",
    "recent_categories": f"Categories {_RECENTS}; empty: unknown.",
    "purchased_item_ids": f"Items ever purchased (the newest {customer.PURCHASED_LIMIT:,}), by id.",
    "purchased_at_us": "Their newest purchases, in step, UTC microseconds.",
}
ITEM_COLUMNS: dict[str, str] = {
    "first_seen_us": f"Listing or first event, {_US}.",
    "last_seen_us": f"Newest event, {_US}.",
    "views_total": "Views ever, count.",
    "carts_total": "Additions to the cart ever, count.",
    "purchases_total": "Purchases ever, count.",
    "price_listed": f"1: the price is of {_LISTED}",
    "price_at_us": f"When the price was stated, {_US}.",
    "price_cents": "Price per unit, the newest listed, else the newest stated, cents; 0: unknown.",
    "category_listed": f"1: the category is of {_LISTED}",
    "category_at_us": f"When the category was stated, {_US}.",
    "category": "Category, the newest listed, else the newest stated; empty: unknown.",
    "minute_buckets": f"Views, carts, purchases by minute, one hour: {_BUCKET_ROWS}.",
    "half_hour_buckets": f"The same by half hour, one day: {_BUCKET_ROWS}.",
    "quarter_day_buckets": f"The same by six hours, 30 days: {_BUCKET_ROWS}.",
    "facts": "Newest stated facts, for the rules: rows of code, instant stated (UTC microseconds), "
    f"value, laid end to end. Codes: {_FACT_CODES}.",
}
