"""The whole answer: retrieval, ranking, rules, reasons, receipt; and a fallback for each part.

Nothing here knows Ray or HTTP. The stages come in as ports, so one process can hold them all
(tests, notebooks) or each can be a deployment of its own.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from nearline.clock import Clock
from nearline.contracts.answer import (
    Chosen,
    ChurnAnswer,
    Degradation,
    Recommendation,
    RecommendedItem,
    RecommendQuery,
    RuleEffect,
    TagsAnswer,
    Versions,
)
from nearline.online import CustomerReading
from nearline.transforms import customer
from nearline.transforms.candidates import fused_score
from serving import reasons, rules
from serving.challenger import wants_challenger
from serving.churn import ChurnPort, ChurnRequest, ChurnScored
from serving.exposures import Exposures, exposure_of
from serving.features import Features
from serving.ranking import Ranked, RankingPort, RankRequest
from serving.receipts import ENTROPY_BYTES, receipt_of, response_id
from serving.retrieval import Retrieval, RetrievalPort, RetrievalRequest, Retrieved
from serving.served_log import ServedLog, record_of
from serving.tags import tags_for

T = TypeVar("T")

logger = logging.getLogger(__name__)


class Answers(Protocol):
    """What the doors (HTTP, gRPC) open to."""

    async def recommend(self, query: RecommendQuery) -> Recommendation: ...

    async def churn(self, customer_id: str, as_of_us: int | None) -> ChurnAnswer: ...

    async def tags(self, customer_id: str, as_of_us: int | None) -> TagsAnswer: ...


@dataclass(frozen=True, slots=True)
class Patience:
    """How long each stage may take before its fallback answers."""

    retrieval_ms: float
    ranking_ms: float
    churn_ms: float


@dataclass(frozen=True, slots=True)
class Answered:
    """A recommendation, and as what its bundle answered; None where none did."""

    recommendation: Recommendation
    role: Chosen | None


class Answering:
    """Assembles answers.

    `spare` retrieves in this process, without a bundle, when the retrieval stage does not answer.
    """

    def __init__(
        self,
        *,
        retrieval: RetrievalPort,
        ranking: RankingPort,
        churn: ChurnPort,
        spare: Retrieval,
        features: Features,
        exposures: Exposures,
        served: ServedLog,
        patience: Patience,
        clock: Clock,
        entropy: Callable[[int], bytes],
        challenger_share: float = 0.0,
    ) -> None:
        self._retrieval, self._ranking, self._churn = retrieval, ranking, churn
        self._spare, self._features = spare, features
        self._exposures, self._served = exposures, served
        self._patience, self._clock, self._entropy = patience, clock, entropy
        self._challenger_share = challenger_share

    async def recommend(self, query: RecommendQuery) -> Recommendation:
        """An answer always: see `answered`."""
        return (await self.answered(query)).recommendation

    async def answered(self, query: RecommendQuery) -> Answered:
        """An answer always; `degraded` names what was missing.

        An answer for now is logged as an exposure; one as of a stated instant was not shown
        to anybody, and is not.
        """
        now_us = self._clock.now_us()
        as_of_us = now_us if query.as_of_us is None else query.as_of_us
        challenger = wants_challenger(query, self._challenger_share)
        request = RetrievalRequest(query.customer_id, query.exclude_item_ids, as_of_us, challenger)
        found = await self._retrieve(request)
        degraded = list(found.degraded)
        if query.bundle is Chosen.CHALLENGER and found.role is not Chosen.CHALLENGER:
            degraded.append(Degradation.CHALLENGER_UNAVAILABLE)
        response = response_id(now_us, self._entropy(ENTROPY_BYTES))
        # As of a stated instant the windows end there, but what was read is of now: no proof.
        keep = query.as_of_us is None and self._served.wants(response, found)
        ranked = await self._rank(found, as_of_us, with_rows=keep) if found.bundle else None
        scores = ranked.scores if ranked else None
        if found.bundle and scores is None:
            degraded.append(Degradation.RANKER_UNAVAILABLE)
        items, effects = _list(query, found, scores, as_of_us)
        if not items:
            degraded.append(Degradation.NOTHING_TO_RECOMMEND)
        if self._exposures.failing:
            degraded.append(Degradation.EXPOSURES_DELAYED)
        answer = Recommendation(
            response_id=response,
            scene=query.scene,
            items=items,
            rules=effects,
            versions=Versions(bundle=found.bundle, rules=rules.RULES_VERSION),
            receipt=receipt_of(found.reading, as_of_us),
            degraded=tuple(degraded),
        )
        if query.as_of_us is None and items:
            self._exposures.add(exposure_of(answer, query.customer_id, now_us))
        if ranked and ranked.rows:
            self._served.add(
                record_of(
                    response,
                    query.customer_id,
                    query.exclude_item_ids,
                    as_of_us,
                    found,
                    ranked.rows,
                )
            )
        return Answered(answer, found.role)

    async def churn(self, customer_id: str, as_of_us: int | None = None) -> ChurnAnswer:
        """Scores for each horizon; none for a stranger, or when something was missing."""
        now_us = self._clock.now_us()
        as_of_us = now_us if as_of_us is None else as_of_us
        scored = await _in_time(
            self._churn.score(ChurnRequest(customer_id, as_of_us)), self._patience.churn_ms
        )
        if scored is None:
            reading = CustomerReading(customer.EMPTY, 0, None)
            scored = ChurnScored("", reading, (), (Degradation.CHURN_UNAVAILABLE,))
        return ChurnAnswer(
            response_id=response_id(now_us, self._entropy(ENTROPY_BYTES)),
            scores=scored.scores,
            versions=Versions(bundle=scored.bundle, rules=rules.RULES_VERSION),
            receipt=receipt_of(scored.reading, as_of_us),
            degraded=scored.degraded,
        )

    async def tags(self, customer_id: str, as_of_us: int | None = None) -> TagsAnswer:
        """The tags that hold now, or at a stated instant."""
        instant_us = self._clock.now_us() if as_of_us is None else as_of_us
        return await tags_for(self._features, customer_id, instant_us)

    async def _retrieve(self, request: RetrievalRequest) -> Retrieved:
        found = await _in_time(self._retrieval.retrieve(request), self._patience.retrieval_ms)
        return await self._spare.retrieve(request) if found is None else found

    async def _rank(self, found: Retrieved, as_of_us: int, with_rows: bool) -> Ranked | None:
        request = RankRequest(
            bundle=found.bundle,
            state=found.reading.state,
            candidates=tuple(option.candidate for option in found.options),
            item_values=found.item_values,
            as_of_us=as_of_us,
            with_rows=with_rows,
        )
        ranked = await _in_time(self._ranking.rank(request), self._patience.ranking_ms)
        return ranked if ranked and len(ranked.scores) == len(found.options) else None


def _list(
    query: RecommendQuery, found: Retrieved, scores: tuple[float, ...] | None, as_of_us: int
) -> tuple[tuple[RecommendedItem, ...], tuple[RuleEffect, ...]]:
    """Order, apply the rules, give reasons. Ties keep the order of retrieval."""
    state = found.reading.state
    shown = scores or tuple(fused_score(option.candidate) for option in found.options)
    order = sorted(range(len(found.options)), key=lambda place: -shown[place])
    ranked = [found.options[place] for place in order]
    viewed = {recent.item_id for recent in state.recent}
    chosen = rules.choose(
        ranked,
        query.k or 10,
        purchased={item_id for item_id, _ in state.purchased},
        excluded=set(query.exclude_item_ids),
        seen=viewed,
        dropped=found.dropped,
    )
    interests = customer.category_affinity(state, as_of_us)
    items = tuple(
        RecommendedItem(
            item_id=ranked[place].item_id,
            rank=rank,
            score=shown[order[place]],
            sources=tuple(ranked[place].candidate.ranks),
            reasons=reasons.reasons_for(ranked[place], viewed, interests),
            category=ranked[place].category,
            price_cents=ranked[place].price_cents,
        )
        for rank, place in enumerate(chosen.places, start=1)
    )
    return items, chosen.effects


async def _in_time(work: Awaitable[T], limit_ms: float) -> T | None:
    """The result, or None when it failed or took too long; the fallback ladder goes on."""
    try:
        return await asyncio.wait_for(_awaited(work), limit_ms / 1_000)
    except Exception as error:  # noqa: BLE001 - a stage may fail in any way, the answer may not
        logger.warning("a stage did not answer: %s", type(error).__name__)
        return None


async def _awaited(work: Awaitable[T]) -> T:
    return await work


__all__ = ["Answered", "Answering", "Answers", "Patience"]
