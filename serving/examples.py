"""Examples for the OpenAPI document; a test holds them against the contract."""

from __future__ import annotations

from typing import Any

QUESTION: dict[str, Any] = {
    "customer_id": "c-1001",
    "scene": "home",
    "k": 10,
    "exclude_item_ids": ["i-204"],
}

_RECEIPT: dict[str, Any] = {
    "log_position": "3-1795201200123-0",
    "as_of_us": 1_795_201_200_500_000,
    "newest_event_at_us": 1_795_201_200_100_000,
    "newest_event_age_ms": 400.0,
    "features_age_ms": 377.0,
}
_VERSIONS: dict[str, Any] = {"bundle": "7", "rules": "builtin-1", "experiment": ""}

RECOMMENDATION: dict[str, Any] = {
    "response_id": "01a1fb3e35f4c7a2c93d0b6f4e1a8d25",
    "scene": "home",
    "items": [
        {
            "item_id": "i-77",
            "rank": 1,
            "score": 1.25,
            "sources": ["encoder", "popular"],
            "reasons": [
                {
                    "code": "similar_to_viewed",
                    "text_en": "Goes with what you were interested in",
                    "text_zh": "与您感兴趣的商品相近",
                    "item_id": "i-12",
                }
            ],
            "category": "shoes",
            "price_cents": 4_990,
        }
    ],
    "rules": [{"rule": "never_purchased", "affected": 2, "note": ""}],
    "versions": _VERSIONS,
    "receipt": _RECEIPT,
    "degraded": [],
}

CHURN: dict[str, Any] = {
    "response_id": "01a1fb3e35f4c7a2c93d0b6f4e1a8d26",
    "scores": [
        {
            "horizon_days": 14,
            "probability": 0.82,
            "reasons": [
                {
                    "feature": "seen_age_hours",
                    "value": 288.0,
                    "contribution": 1.4,
                    "text_en": "Last was here 12 days ago",
                    "text_zh": "最近一次到访在 12 天前",
                }
            ],
        }
    ],
    "versions": _VERSIONS,
    "receipt": _RECEIPT,
    "degraded": [],
}

TAGS: dict[str, Any] = {
    "tags": [{"code": "active_now", "text_en": "Active now", "text_zh": "正在浏览"}],
    "receipt": _RECEIPT,
    "degraded": [],
}

PROBLEM: dict[str, Any] = {
    "type": "urn:nearline:problem:invalid_request",
    "title": "Unprocessable Entity",
    "status": 422,
    "detail": "k: is 0; ask for 1 to 100 items",
    "code": "invalid_request",
    "errors": [{"field": "k", "hint": "is 0; ask for 1 to 100 items"}],
}
