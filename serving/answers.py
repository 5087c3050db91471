"""The whole answer: read, compose, log. A fallback for each part; never an error for one.

Nothing here knows Ray or HTTP. What is decided lies in `serving.composing`, which is pure; this
module waits for a turn, reads the stores in time, and keeps what must be kept of an answer.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import msgspec

from nearline.clock import Clock
from nearline.contracts.answer import (
    Chosen,
    ChurnAnswer,
    ChurnScore,
    Degradation,
    Recommendation,
    RecommendQuery,
    ScoresAnswer,
    ScoresQuery,
    TagsAnswer,
    Versions,
)
from nearline.contracts.bundle import Task
from nearline.contracts.position import LogPosition
from nearline.errors import StoreUnavailable
from nearline.logs import where
from nearline.online import CustomerReading
from nearline.transforms import customer
from serving.arrivals import Stock, Stocks
from serving.bundles import Bundle, Shelf
from serving.caps import Caps
from serving.challenger import wants_challenger
from serving.composing import Composed, Inputs, compose
from serving.exposures import Exposures, exposure_of
from serving.features import Features, PopularItem
from serving.items import ItemTable
from serving.keeping import POPULAR, Keeper
from serving.made import made_of
from serving.own_events import OwnEvents
from serving.policy.caps import longest_window_us
from serving.policy.model import Policy
from serving.receipts import ENTROPY_BYTES, receipt_of, response_id
from serving.requests import fitting
from serving.score_reading import Scored, Scores
from serving.served_log import ServedLog, record_of
from serving.stages import UNTIMED, Stages
from serving.tags import tags_for
from serving.turns import Turns

# Of a batch of scores, at most: HAProxy takes a replica that says nothing for 10 s to have died,
# and would ask the next one for all of it again.
BATCH_DEADLINE_MS = 8_000.0

logger = logging.getLogger(__name__)


class Answers(Protocol):
    """What the doors (HTTP, gRPC) open to."""

    async def recommend(
        self, query: RecommendQuery, deadline_ms: float | None = None
    ) -> Recommendation: ...

    async def churn(self, customer_id: str, as_of_us: int | None) -> ChurnAnswer: ...

    async def scores(
        self, query: ScoresQuery, deadline_ms: float | None = None
    ) -> tuple[ScoresAnswer, ...]: ...

    async def tags(self, customer_id: str, as_of_us: int | None) -> TagsAnswer: ...


@dataclass(frozen=True, slots=True)
class Answered:
    """A recommendation, as what its bundle answered (None where none did), and broken rules."""

    recommendation: Recommendation
    role: Chosen | None
    broken: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Held:
    """What one process holds and others move: bundles, items, policy. Each read once an answer."""

    shelf: Shelf
    items: Callable[[], ItemTable | None]
    policy: Callable[[], Policy]


class Answering:
    """Assembles answers."""

    def __init__(
        self,
        *,
        held: Held,
        features: Features,
        caps: Caps,
        scores: Scores,
        exposures: Exposures,
        served: ServedLog,
        turns: Turns,
        clock: Clock,
        entropy: Callable[[int], bytes],
        keeper: Keeper,
        deadline_ms: float,
        challenger_share: float = 0.0,
        stages: Stages = UNTIMED,
    ) -> None:
        self._held, self._features, self._caps, self._scores = held, features, caps, scores
        self._exposures, self._served, self._turns = exposures, served, turns
        self._clock, self._entropy = clock, entropy
        self._keeper, self._stages = keeper, stages
        self._deadline_ms, self._challenger_share = deadline_ms, challenger_share
        self._own_events = OwnEvents(features)
        self._stocks = Stocks()
        self._popular: tuple[PopularItem, ...] = ()  # Last seen: it outlives a Redis outage.

    async def recommend(
        self, query: RecommendQuery, deadline_ms: float | None = None
    ) -> Recommendation:
        """An answer always, or Overloaded: see `answered`."""
        return (await self.answered(query, deadline_ms)).recommendation

    async def answered(self, query: RecommendQuery, deadline_ms: float | None = None) -> Answered:
        """An answer; `degraded` names what was missing.

        Raises InvalidRequest for a question that its scene cannot answer or that names another
        customer's event, and Overloaded where more is asked than can be answered within the
        deadline. An answer for now is logged as an exposure; one as of a stated instant was not
        shown to anybody, and is not.
        """
        query = fitting(query, self._held.policy())
        limit_ms = self._deadline_ms if deadline_ms is None else min(deadline_ms, self._deadline_ms)
        waits = bool(query.min_position) and query.personalized
        arrived: LogPosition | None = None
        if waits:
            came_s = time.perf_counter()
            arrived = await self._own_events.arrived(query, deadline_ms)
            if deadline_ms is not None:  # The caller's clock ran meanwhile.
                waited_ms = (time.perf_counter() - came_s) * 1_000
                limit_ms = min(limit_ms, max(1.0, deadline_ms - waited_ms))
        ends_s = time.perf_counter() + limit_ms / 1_000
        async with self._turns.turn(limit_ms):
            with self._stages("read"):
                inputs = await self._inputs(query, arrived)
            if waits and arrived is None:
                inputs = replace(inputs, missing=(*inputs.missing, Degradation.STALE))
            inputs, composed = await self._composed(inputs, lambda: time.perf_counter() > ends_s)
            inputs, composed = await self._capped(inputs, composed)
        self._keep(inputs, composed)
        return Answered(composed.answer, inputs.role, composed.broken)

    async def churn(self, customer_id: str, as_of_us: int | None = None) -> ChurnAnswer:
        """Scores for each horizon; none for a stranger, or when something was missing.

        Raises Overloaded, as `recommend` does.
        """
        query = ScoresQuery((customer_id,), (Task.CHURN,), as_of_us=as_of_us)
        (one,) = await self.scores(query)
        renamed = {Degradation.SCORES_UNAVAILABLE: Degradation.CHURN_UNAVAILABLE}
        return ChurnAnswer(
            response_id=one.response_id,
            scores=tuple(
                ChurnScore(score.horizon_days, score.probability, score.reasons)
                for score in one.scores
            ),
            versions=one.versions,
            receipt=one.receipt,
            degraded=tuple(
                renamed.get(missing, missing)
                for missing in one.degraded
                if missing is not Degradation.LIFETIME_UNAVAILABLE
            ),
        )

    async def scores(
        self, query: ScoresQuery, deadline_ms: float | None = None
    ) -> tuple[ScoresAnswer, ...]:
        """Each customer's scores, in the order of the question.

        One customer has the deadline of every answer, several have a longer one: see
        `Scores.read`, also for Overloaded.
        """
        if len(query.customer_ids) > 1:
            limit_ms = min(deadline_ms or BATCH_DEADLINE_MS, BATCH_DEADLINE_MS)
        else:
            limit_ms = min(deadline_ms or self._deadline_ms, self._deadline_ms)
        as_of_us = self._clock.now_us() if query.as_of_us is None else query.as_of_us
        found = await self._scores.read(query, as_of_us, limit_ms)
        return tuple(
            self._scores_answer(customer_id, scored, as_of_us)
            for customer_id, scored in zip(query.customer_ids, found, strict=True)
        )

    def _scores_answer(self, customer_id: str, scored: Scored, as_of_us: int) -> ScoresAnswer:
        bundle, told = scored.bundle, scored.foretold
        return ScoresAnswer(
            response_id=response_id(self._clock.now_us(), self._entropy(ENTROPY_BYTES)),
            customer_id=customer_id,
            scores=told.scores,
            value=told.value,
            calibrated_at=bundle.manifest.created_at if bundle else "",
            calibrated_to=bundle.manifest.data_to if bundle else "",
            versions=Versions(bundle.version if bundle else "", self._held.policy().version),
            receipt=receipt_of(scored.reading, as_of_us),
            degraded=told.missing,
        )

    async def tags(self, customer_id: str, as_of_us: int | None = None) -> TagsAnswer:
        """The tags that hold now, or at a stated instant."""
        instant_us = self._clock.now_us() if as_of_us is None else as_of_us
        return await tags_for(self._features, customer_id, instant_us)

    async def _inputs(self, query: RecommendQuery, arrived: LogPosition | None) -> Inputs:
        """Everything read for an answer; one bundle, one stock, one policy from start to end.

        `arrived` is an event that the store was seen to hold before.
        """
        missing: list[Degradation] = []
        reading = _STRANGER
        if query.personalized:
            try:
                reading = (await self._features.customer(query.customer_id)).covering(arrived)
            except StoreUnavailable:
                missing.append(Degradation.FEATURES_UNAVAILABLE)
        # Nothing is awaited from here to the end of `compose` but the last resort.
        held, table = self._held, self._held.items()
        challenger = query.personalized and wants_challenger(query, self._challenger_share)
        bundle = held.shelf.answering(challenger)
        stock = self._stocked(bundle, table, missing)
        if stock is None:
            bundle, role = None, None
            missing += await self._look_for_popular(missing)
        else:
            role = Chosen.CHALLENGER if bundle is held.shelf.challenger else Chosen.CHAMPION
        if self._exposures.failing:
            missing.append(Degradation.EXPOSURES_DELAYED)
        now_us = self._clock.now_us()
        return Inputs(
            query=query,
            policy=held.policy(),
            reading=reading,
            bundle=bundle,
            role=role,
            stock=stock,
            table=table,
            as_of_us=now_us if query.as_of_us is None else query.as_of_us,
            response_id=response_id(now_us, self._entropy(ENTROPY_BYTES)),
            popular=self._popular if bundle is None else (),
            missing=tuple(missing),
        )

    def _stocked(
        self, bundle: Bundle | None, table: ItemTable | None, missing: list[Degradation]
    ) -> Stock | None:
        """The bundle's items with those that came later; None where there is no such thing."""
        if bundle is None or bundle.finder is None:
            return None
        try:
            return self._stocks.of(bundle.version, bundle.finder, table)
        except Exception as error:  # noqa: BLE001 - the caller must not see an error page for it
            logger.error("the items of a bundle could not be put together: %s", where(error))
            missing.append(Degradation.ANSWER_FAILED)
            return None

    async def _composed(self, inputs: Inputs, late: Callable[[], bool]) -> tuple[Inputs, Composed]:
        """The answer; after a fault of our own, popular items by the same rules, or none."""
        try:
            return inputs, compose(inputs, late, self._stages)
        except Exception as error:  # noqa: BLE001 - the caller must not see an error page for it
            logger.error("an answer failed: %s", where(error))
        missing = [*inputs.missing, Degradation.ANSWER_FAILED]
        missing += await self._look_for_popular(missing)
        inputs = replace(
            inputs,
            bundle=None,
            role=None,
            stock=None,
            popular=self._popular,
            missing=tuple(missing),
        )
        try:
            return inputs, compose(inputs)
        except Exception as error:  # noqa: BLE001 - what is left is an empty list that says why
            logger.error("an answer of popular items failed: %s", where(error))
        inputs = replace(inputs, popular=(), reading=_STRANGER, table=None)
        return inputs, compose(inputs)

    async def _look_for_popular(self, missing: list[Degradation]) -> list[Degradation]:
        try:
            self._popular = await self._features.popular()
        except StoreUnavailable:
            if Degradation.FEATURES_UNAVAILABLE not in missing:
                return [Degradation.FEATURES_UNAVAILABLE]
        return []

    async def _capped(self, inputs: Inputs, composed: Composed) -> tuple[Inputs, Composed]:
        """The answer, or the empty one where a frequency cap of its channel is reached."""
        query = inputs.query
        channel = query.channel or inputs.scene.channel
        known = inputs.policy.caps.get(channel)  # Of any scene: each list by a channel counts.
        if not (known and composed.answer.items and query.personalized and query.as_of_us is None):
            return inputs, composed
        caps = inputs.policy.scene_rules[query.scene].caps(channel)
        try:
            if await self._caps.take(
                query.customer_id,
                channel,
                caps,
                inputs.response_id,
                inputs.as_of_us,
                remember_us=longest_window_us(known),
            ):
                return inputs, composed
        except StoreUnavailable:
            if not caps:
                return inputs, composed
            # A message too many cannot be taken back; one too few can be sent later.
            inputs = replace(inputs, missing=(*inputs.missing, Degradation.CAP_UNKNOWN))
        bundle, stock = inputs.bundle, inputs.stock
        if bundle is not None and stock is not None:  # The table may have moved on meanwhile.
            stock = self._stocks.of(bundle.version, stock.finder, inputs.table)
        inputs = replace(inputs, capped=True, stock=stock)
        return inputs, compose(inputs)

    def _keep(self, inputs: Inputs, composed: Composed) -> None:
        query, answer = inputs.query, composed.answer
        if query.as_of_us is not None:
            return
        popular = ""
        if inputs.bundle is None:
            popular = self._keeper.keep(POPULAR, msgspec.json.encode(inputs.popular))
        made = made_of(inputs, composed, popular)
        self._exposures.add(exposure_of(answer, made, inputs.as_of_us))
        rows_CF = composed.scored.rows_CF
        # As of a stated instant the windows end there, but what was read is of now: no proof.
        if rows_CF is not None and self._served.wants(answer, inputs.reading):
            self._served.add(record_of(answer, query, inputs.reading, composed.found, rows_CF))


_STRANGER = CustomerReading(customer.EMPTY, 0, None)

__all__ = ["Answered", "Answering", "Answers", "Held"]
