"""Features in words, English and Chinese. Pure."""

from __future__ import annotations

import math

from nearline.transforms.buckets import LAST_1H, LAST_7D, LAST_24H, LAST_30D

_WINDOWS = {
    LAST_1H.name: ("in the last hour", "近 1 小时"),
    LAST_24H.name: ("in the last 24 hours", "近 24 小时"),
    LAST_7D.name: ("in the last 7 days", "近 7 天"),
    LAST_30D.name: ("in the last 30 days", "近 30 天"),
    "total": ("in all", "累计"),
}
_COUNTS = {
    "views": ("{n} views", "浏览 {n} 次"),
    "carts": ("{n} added to the cart", "加购 {n} 次"),
    "purchases": ("{n} items bought", "购买 {n} 件"),
    "orders": ("{n} orders", "下单 {n} 次"),
}
_SINCE = {
    "view_age_hours": ("viewed an item", "浏览"),
    "cart_age_hours": ("filled the cart", "加购"),
    "purchase_age_hours": ("bought something", "购买"),
    "seen_age_hours": ("was here", "到访"),
    "category_age_hours": ("looked into this category", "接触此品类"),
    "category_purchase_age_hours": ("bought in this category", "购买此品类"),
}
_DEMAND = {
    "category_interest": (
        "{pct} % of recent interest is in this category",
        "近期兴趣的 {pct}% 在此品类",
    ),
    "category_views": ("{n} views in this category lately", "近期浏览此品类 {n} 次"),
    "category_carts": ("{n} added to the cart in this category lately", "近期加购此品类 {n} 次"),
    "category_purchases": ("{n} items bought in this category lately", "近期购买此品类 {n} 件"),
    "category_bought_last": (
        "the newest purchase was in this category: {yes_en}",
        "最近一次购买属于此品类：{yes_zh}",
    ),
    "category_price_ratio": (
        "looks at {n} times the usual price in this category",
        "在此品类关注的价格是平时的 {n} 倍",
    ),
    "category_popularity": (
        "{pct} % of the shop's purchases are in this category",
        "全店购买的 {pct}% 属于此品类",
    ),
}
_OTHERS = {
    "session_events": ("{n} interactions in this visit", "本次访问互动 {n} 次"),
    "session_carts": ("{n} added to the cart in this visit", "本次访问加购 {n} 次"),
    "session_minutes": ("{n} minutes in this visit", "本次访问 {n} 分钟"),
    "price_affinity_spread": ("looks at prices that vary by {pct} %", "关注价格的波动为 {pct}%"),
    "categories_recent": ("interested in {n} categories", "近期关注 {n} 个品类"),
    "top_category_share": ("{pct} % of interest in one category", "{pct}% 的兴趣集中于一个品类"),
}


_CROSS = {
    "category_share": (
        "{pct} % of recent interest is in its category",
        "近期兴趣的 {pct}% 在此品类",
    ),
    "seen_count": ("met {n} times lately", "近期接触 {n} 次"),
    "seen_age_hours": ("last met {n} hours ago", "上次接触在 {n} 小时前"),
    "carted_before": ("in a cart before: {yes_en}", "曾加购：{yes_zh}"),
    "in_session": ("met in this visit: {yes_en}", "本次访问接触过：{yes_zh}"),
}
_ITEM_WORDS = {
    "views": ("views of the item", "商品浏览"),
    "carts": ("times in carts", "商品加购"),
    "purchases": ("sold", "商品售出"),
}


def ranker_words(feature: str, value: float) -> tuple[str, str]:
    """What one of `transforms.ranking.RANKER_FEATURES` says, in English and Chinese."""
    if feature.startswith("customer_"):
        return feature_words(feature.removeprefix("customer_"), value)
    if math.isnan(value):
        return f"{feature.replace('_', ' ')}: unknown", f"{feature}：未知"
    number = _number(value)
    if feature in _CROSS:
        en, zh = _CROSS[feature]
        yes = ("yes", "是") if value else ("no", "否")
        words = {"n": number, "pct": _number(100 * value), "yes_en": yes[0], "yes_zh": yes[1]}
        return _capital(en.format(**words)), zh.format(**words)
    if feature == "price_ratio":
        times = _number(math.exp(value))
        return f"{times} times the usual price", f"价格是平时的 {times} 倍"
    source, _, what = feature.rpartition("_")
    if what == "rank":
        return f"Named {number}. by {source}", f"{source} 排第 {number}"
    if what == "score" and not feature.startswith("item_"):
        return f"Score {value:.3g} by {source}", f"{source} 得分 {value:.3g}"
    return _item_words(feature.removeprefix("item_"), value)


def _item_words(feature: str, value: float) -> tuple[str, str]:
    if feature == "price_cents":
        return f"Costs {value / 100:.2f}", f"价格 {value / 100:.2f}"
    if feature == "age_days":
        return f"In the shop for {_number(value)} days", f"上架 {_number(value)} 天"
    if feature == "conversion_7d":
        share = _number(100 * value)
        return f"Sold in {share} % of its views", f"浏览转化率 {share}%"
    what, _, window = feature.rpartition("_")
    if what in _ITEM_WORDS and window in _WINDOWS:
        (en, zh), (when_en, when_zh) = _ITEM_WORDS[what], _WINDOWS[window]
        number = _number(value)
        return f"{number} {en} {when_en}", f"{when_zh}{zh} {number} 次"
    return (
        f"Item {feature.replace('_', ' ')}: {_number(value)}",
        f"商品 {feature}：{_number(value)}",
    )


def feature_words(feature: str, value: float) -> tuple[str, str]:
    """What a feature says of a customer, in English and Chinese; NaN reads as unknown.

    Of a customer with a category too (`transforms.demand`).
    """
    if feature in _SINCE:
        return _since(*_SINCE[feature], value)
    if feature in _DEMAND and not math.isnan(value):
        en, zh = _DEMAND[feature]
        yes = ("yes", "是") if value else ("no", "否")
        words = {"n": _number(value), "pct": _number(100 * value)}
        words |= {"yes_en": yes[0], "yes_zh": yes[1]}
        return _capital(en.format(**words)), zh.format(**words)
    if math.isnan(value):
        return f"{feature.replace('_', ' ')}: unknown", f"{feature}：未知"
    if feature == "tenure_days":
        return f"Customer for {_number(value)} days", f"成为顾客 {_number(value)} 天"
    if feature.endswith("_cents"):
        return _money(feature.removesuffix("_cents"), value)
    if feature in _OTHERS:
        en, zh = _OTHERS[feature]
        words = {"n": _number(value), "pct": _number(100 * value)}
        return _capital(en.format(**words)), zh.format(**words)
    what, _, window = feature.rpartition("_")
    if what in _COUNTS and window in _WINDOWS:
        (en, zh), (when_en, when_zh) = _COUNTS[what], _WINDOWS[window]
        number = _number(value)
        return f"{en.format(n=number)} {when_en}", f"{when_zh}{zh.format(n=number)}"
    return f"{feature.replace('_', ' ')}: {_number(value)}", f"{feature}：{_number(value)}"


def _since(en: str, zh: str, hours: float) -> tuple[str, str]:
    if math.isnan(hours):
        return f"Never {en}", f"从未{zh}"
    if hours < 1:
        minutes = _number(round(hours * 60))
        return f"Last {en} {minutes} minutes ago", f"最近一次{zh}在 {minutes} 分钟前"
    if hours < 48:
        return f"Last {en} {_number(hours)} hours ago", f"最近一次{zh}在 {_number(hours)} 小时前"
    days = _number(hours / 24)
    return f"Last {en} {days} days ago", f"最近一次{zh}在 {days} 天前"


def _money(feature: str, cents: float) -> tuple[str, str]:
    amount = f"{cents / 100:.2f}"
    if feature == "price_affinity":
        return f"Usually looks at prices near {amount}", f"通常关注的价格约为 {amount}"
    window = feature.removeprefix("spend_")
    when_en, when_zh = _WINDOWS.get(window, (window, window))
    return f"Spent {amount} {when_en}", f"{when_zh}消费 {amount}"


def _number(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
