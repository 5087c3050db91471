"""Answers as protobuf messages and back: the one place where the two shapes meet. Pure.

Field names are equal on both sides, so JSON (the dataclasses themselves) and gRPC agree.
"""

from __future__ import annotations

from nearline.contracts.answer import (
    ChurnAnswer,
    Receipt,
    Recommendation,
    RecommendQuery,
    TagsAnswer,
    Versions,
)
from nearline.v1 import recommend_pb2 as pb
from serving.requests import checked_customer_id, checked_instant, recommend_query


def query_of(message: pb.RecommendRequest) -> RecommendQuery:
    """The query, checked; raises InvalidRequest. 0 stands for what was left out."""
    return recommend_query(
        message.customer_id,
        message.scene,
        message.k or None,
        tuple(message.exclude_item_ids),
        message.as_of_us or None,
        message.bundle,
    )


def customer_of(message: pb.ChurnRequest | pb.TagsRequest) -> tuple[str, int | None]:
    """Whom a request asks about, and as of when; raises InvalidRequest."""
    return checked_customer_id(message.customer_id), checked_instant(message.as_of_us or None)


def recommendation(answer: Recommendation) -> pb.RecommendResponse:
    return pb.RecommendResponse(
        response_id=answer.response_id,
        scene=answer.scene,
        items=[
            pb.RecommendedItem(
                item_id=item.item_id,
                rank=item.rank,
                score=item.score,
                sources=item.sources,
                reasons=[
                    pb.Reason(
                        code=reason.code,
                        item_id=reason.item_id or "",
                        text_en=reason.text_en,
                        text_zh=reason.text_zh,
                    )
                    for reason in item.reasons
                ],
                category=item.category,
                price_cents=item.price_cents,
            )
            for item in answer.items
        ],
        rules=[
            pb.RuleEffect(rule=effect.rule, affected=effect.affected, note=effect.note)
            for effect in answer.rules
        ],
        versions=_versions(answer.versions),
        receipt=_receipt(answer.receipt),
        degraded=[name.value for name in answer.degraded],
    )


def churn(answer: ChurnAnswer) -> pb.ChurnResponse:
    return pb.ChurnResponse(
        response_id=answer.response_id,
        scores=[
            pb.ChurnScore(
                horizon_days=score.horizon_days,
                probability=score.probability,
                reasons=[
                    pb.FeatureReason(
                        feature=reason.feature,
                        value=reason.value,
                        contribution=reason.contribution,
                        text_en=reason.text_en,
                        text_zh=reason.text_zh,
                    )
                    for reason in score.reasons
                ],
            )
            for score in answer.scores
        ],
        versions=_versions(answer.versions),
        receipt=_receipt(answer.receipt),
        degraded=[name.value for name in answer.degraded],
    )


def tags(answer: TagsAnswer) -> pb.TagsResponse:
    return pb.TagsResponse(
        tags=[
            pb.Tag(code=tag.code, text_en=tag.text_en, text_zh=tag.text_zh) for tag in answer.tags
        ],
        receipt=_receipt(answer.receipt),
        degraded=[name.value for name in answer.degraded],
    )


def _versions(versions: Versions) -> pb.Versions:
    return pb.Versions(bundle=versions.bundle, rules=versions.rules, experiment=versions.experiment)


def _receipt(receipt: Receipt) -> pb.Receipt:
    return pb.Receipt(
        log_position=receipt.log_position,
        as_of_us=receipt.as_of_us,
        newest_event_at_us=receipt.newest_event_at_us,
        newest_event_age_ms=receipt.newest_event_age_ms,
        features_age_ms=receipt.features_age_ms,
    )
