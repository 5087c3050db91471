"""Answers as protobuf messages and back: the one place where the two shapes meet. Pure.

Field names are equal on both sides, so JSON (the dataclasses themselves) and gRPC agree.
"""

from __future__ import annotations

from nearline.contracts.answer import (
    ChurnAnswer,
    Explanation,
    FeatureReason,
    Receipt,
    Recommendation,
    RecommendQuery,
    ScoresAnswer,
    ScoresBatchAnswer,
    ScoresQuery,
    TagsAnswer,
    Versions,
)
from nearline.v1 import recommend_pb2 as pb
from serving.requests import checked_customer_id, checked_instant, recommend_query, scores_query


def query_of(message: pb.RecommendRequest) -> RecommendQuery:
    """The query, checked; raises InvalidRequest. 0 stands for what was left out."""
    return recommend_query(
        message.customer_id,
        scene=message.scene,
        k=message.k or None,
        exclude_item_ids=tuple(message.exclude_item_ids),
        as_of_us=message.as_of_us or None,
        bundle=message.bundle,
        item_ids=tuple(message.item_ids),
        category=message.category,
        channel=message.channel,
        age_years=message.age_years if message.HasField("age_years") else None,
        personalization=message.personalization,
        explain=message.explain,
        min_position=message.min_position,
        max_wait_ms=message.max_wait_ms if message.HasField("max_wait_ms") else None,
    )


def customer_of(message: pb.ChurnRequest | pb.TagsRequest) -> tuple[str, int | None]:
    """Whom a request asks about, and as of when; raises InvalidRequest."""
    return checked_customer_id(message.customer_id), checked_instant(message.as_of_us or None)


def scores_query_of(message: pb.ScoresRequest | pb.ScoresBatchRequest) -> ScoresQuery:
    """Whose scores are asked for; raises InvalidRequest. Reasons left out are wanted."""
    if isinstance(message, pb.ScoresRequest):
        ids = [checked_customer_id(message.customer_id)]
    else:
        ids = list(message.customer_ids)
    return scores_query(
        ids,
        tasks=tuple(message.tasks),
        categories=tuple(message.categories),
        reasons=message.reasons if message.HasField("reasons") else True,
        as_of_us=message.as_of_us or None,
    )


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
                moves=[
                    pb.Move(rule=move.rule, from_rank=move.from_rank, to_rank=move.to_rank)
                    for move in item.moves
                ],
                propensity=item.propensity,
                explanation=_explanation(item.explanation),
            )
            for item in answer.items
        ],
        rules=[
            pb.RuleEffect(
                rule=effect.rule,
                affected=effect.affected,
                note=effect.note,
                item_ids=effect.item_ids,
            )
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
                reasons=[*map(_feature_reason, score.reasons)],
            )
            for score in answer.scores
        ],
        versions=_versions(answer.versions),
        receipt=_receipt(answer.receipt),
        degraded=[name.value for name in answer.degraded],
    )


def scores(answer: ScoresAnswer) -> pb.ScoresResponse:
    value = answer.value
    return pb.ScoresResponse(
        response_id=answer.response_id,
        customer_id=answer.customer_id,
        scores=[
            pb.Score(
                name=score.name,
                task=score.task,
                horizon_days=score.horizon_days,
                probability=score.probability,
                reasons=[*map(_feature_reason, score.reasons)],
                category=score.category,
            )
            for score in answer.scores
        ],
        value=pb.LifetimeValue(
            horizon_days=value.horizon_days,
            expected_purchases=value.expected_purchases,
            value_cents=value.value_cents,
            alive_probability=value.alive_probability,
        )
        if value
        else None,
        calibrated_at=answer.calibrated_at,
        calibrated_to=answer.calibrated_to,
        versions=_versions(answer.versions),
        receipt=_receipt(answer.receipt),
        degraded=[name.value for name in answer.degraded],
    )


def scores_batch(answer: ScoresBatchAnswer) -> pb.ScoresBatchResponse:
    return pb.ScoresBatchResponse(answers=[*map(scores, answer.answers)])


def tags(answer: TagsAnswer) -> pb.TagsResponse:
    return pb.TagsResponse(
        tags=[
            pb.Tag(code=tag.code, text_en=tag.text_en, text_zh=tag.text_zh) for tag in answer.tags
        ],
        receipt=_receipt(answer.receipt),
        degraded=[name.value for name in answer.degraded],
    )


def _explanation(explanation: Explanation | None) -> pb.Explanation | None:
    if explanation is None:
        return None
    return pb.Explanation(
        source_ranks=explanation.source_ranks,
        nearest=[
            pb.PastEvent(
                kind=one.kind, item_id=one.item_id, at_us=one.at_us, similarity=one.similarity
            )
            for one in explanation.nearest
        ],
        contributions=[*map(_feature_reason, explanation.contributions)],
    )


def _feature_reason(reason: FeatureReason) -> pb.FeatureReason:
    return pb.FeatureReason(
        feature=reason.feature,
        value=reason.value,
        contribution=reason.contribution,
        text_en=reason.text_en,
        text_zh=reason.text_zh,
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
        item_positions=receipt.item_positions,
    )
