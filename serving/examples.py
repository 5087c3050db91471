"""Examples for the OpenAPI document; a test holds them against the contract."""

from __future__ import annotations

from typing import Any

QUESTION: dict[str, Any] = {
    "customer_id": "c-1001",
    "scene": "home",
    "k": 10,
    "exclude_item_ids": ["i-204"],
    "explain": True,
}

_RECEIPT: dict[str, Any] = {
    "log_position": "3-1795201200123-0",
    "as_of_us": 1_795_201_200_500_000,
    "newest_event_at_us": 1_795_201_200_100_000,
    "newest_event_age_ms": 400.0,
    "features_age_ms": 377.0,
    "item_positions": ["0-1795201199871-0", "1-1795201198004-0", "2-0-0", "3-1795201200123-0"],
}
_VERSIONS: dict[str, Any] = {"bundle": "7", "rules": "9c1f04b7d2aa", "experiment": ""}

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
            "moves": [{"rule": "category_share", "from_rank": 3, "to_rank": 1}],
            "propensity": 1.0,
            "explanation": {
                "source_ranks": {"encoder": 4, "popular": 11},
                "nearest": [
                    {
                        "kind": "view",
                        "item_id": "i-12",
                        "at_us": 1_795_201_200_100_000,
                        "similarity": 0.61,
                    }
                ],
                "contributions": [
                    {
                        "feature": "category_share",
                        "value": 0.4,
                        "contribution": 0.31,
                        "text_en": "40 % of recent interest is in its category",
                        "text_zh": "近期 40% 兴趣在此类",
                    }
                ],
            },
        }
    ],
    "rules": [{"rule": "never_purchased", "affected": 2, "note": "", "item_ids": ["i-4", "i-19"]}],
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

SCORES_ASKED: dict[str, Any] = {
    "customer_ids": ["c-1001", "c-1002"],
    "tasks": ["churn", "repurchase"],
    "reasons": False,
}

SCORES: dict[str, Any] = {
    "response_id": "01a1fb3e35f4c7a2c93d0b6f4e1a8d27",
    "customer_id": "c-1001",
    "scores": [
        {
            "name": "category_demand_14d",
            "task": "category_demand",
            "horizon_days": 14,
            "probability": 0.31,
            "reasons": [
                {
                    "feature": "category_interest",
                    "value": 0.6,
                    "contribution": 0.9,
                    "text_en": "60 % of recent interest is in this category",
                    "text_zh": "近期兴趣的 60% 在此品类",
                }
            ],
            "category": "shoes",
        }
    ],
    "value": {
        "horizon_days": 364,
        "expected_purchases": 3.2,
        "value_cents": 16_480.0,
        "alive_probability": 0.94,
    },
    "calibrated_at": "2026-11-20T03:10:00Z",
    "calibrated_to": "2026-11-20T02:59:58Z",
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
