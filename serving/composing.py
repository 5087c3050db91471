"""A whole answer from what was read for it. Pure: the same inputs, the same bytes.

So any answer can be made again (`nearline replay-answer`): everything that shapes it comes in
through `Inputs`, chance by the response id, and what was missing by name.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from nearline.contracts.answer import (
    Chosen,
    Degradation,
    Explanation,
    Reason,
    Recommendation,
    RecommendedItem,
    RecommendQuery,
    RuleEffect,
    Versions,
)
from nearline.logs import where
from nearline.online import CustomerReading
from nearline.transforms import customer
from nearline.transforms.candidates import Candidate
from nearline.transforms.tags import tags_of
from serving import explaining
from serving.arrivals import FloatSD, Stock
from serving.bundles import Bundle
from serving.features import PopularItem
from serving.finding import Asked, Found, Neighbour, Option, find, neighbours
from serving.items import ItemTable
from serving.policy import names
from serving.policy.check import violations
from serving.policy.choose import Chosen as List
from serving.policy.choose import choose
from serving.policy.filters import due
from serving.policy.model import Policy, Scene
from serving.policy.situation import Situation
from serving.reasons import reasons_for
from serving.receipts import receipt_of
from serving.scoring import Scored, scored
from serving.stages import UNTIMED, Stages

_NEIGHBOURS = 3

T = TypeVar("T")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Inputs:
    """All that an answer is made of. The instant, the id and what was missing are values too.

    `bundle` and `stock` are None where none is loaded: `popular` answers then. `table` is None
    where the items' states are not loaded. `without` names parts to do without, as if they
    failed: those that did when an answer is made again.
    """

    query: RecommendQuery
    policy: Policy
    reading: CustomerReading
    bundle: Bundle | None
    role: Chosen | None
    stock: Stock | None
    table: ItemTable | None
    as_of_us: int
    response_id: str
    popular: tuple[PopularItem, ...] = ()
    missing: tuple[Degradation, ...] = ()
    without: frozenset[Degradation] = frozenset()
    capped: bool = False

    @property
    def scene(self) -> Scene:
        return self.policy.scenes[self.query.scene]

    @property
    def k(self) -> int:
        length = self.scene.length
        return min(self.query.k or length.default, length.most)


@dataclass(frozen=True, slots=True)
class Composed:
    """The answer, with what others keep of how it was made.

    `failed` are the parts that failed meanwhile, so that it was made without them. `broken` must
    be empty.
    """

    answer: Recommendation
    found: Found
    scored: Scored
    failed: tuple[Degradation, ...]
    broken: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Why:
    """What is told of an item beside its place."""

    reasons: tuple[Reason, ...] = ()
    explanation: Explanation | None = None


def compose(
    inputs: Inputs, late: Callable[[], bool] = lambda: False, stages: Stages = UNTIMED
) -> Composed:
    """The answer to a question. `late` says whether its time is up: then the ranker is left out.

    `stages` times the parts, and changes nothing.
    """
    query, state = inputs.query, inputs.reading.state
    table = inputs.table or ItemTable(0)
    missing, situation = list(inputs.missing), _situation(inputs)
    if inputs.table is None:
        missing.append(Degradation.ITEM_FEATURES_UNAVAILABLE)
    if inputs.bundle is not None and inputs.stock is not None:
        with stages("find"):
            found = find(inputs.stock, table, state, _asked(inputs, table, situation))
        with stages("rank"):
            marks = scored(
                found.options,
                inputs.bundle.ranker,
                state,
                table,
                inputs.as_of_us,
                {str(voter): weight for voter, weight in inputs.scene.weights.items()},
                late,
                inputs.without,
            )
    else:
        found = _popular(inputs, table)
        places = range(len(found.options))
        marks = Scored(tuple(places), tuple(1.0 / (place + 1) for place in places))
        missing.append(Degradation.BUNDLE_UNAVAILABLE)
    failed = [*found.failed, *marks.failed]
    ranked = [found.options[place] for place in marks.order]
    rules = inputs.policy.scene_rules[query.scene]
    with stages("rules"):
        vectors_of = _vectors_of(inputs.stock, ranked)
        chosen = choose(ranked, situation, rules, vectors_of=vectors_of, dropped=found.dropped)
    shown = [ranked[place] for place in chosen.places]
    at = [marks.order[place] for place in chosen.places]
    with stages("reasons"):
        whys = _whys(inputs, shown, at, chosen, marks)
    if not all(why.reasons and (why.explanation or not query.explain) for why in whys):
        failed.append(Degradation.EXPLANATIONS_UNAVAILABLE)
    items = _items(shown, at, chosen, marks, whys)
    missing += failed
    if not items and not situation.capped:
        missing.append(Degradation.NOTHING_TO_RECOMMEND)
    if query.bundle is Chosen.CHALLENGER and inputs.role is not Chosen.CHALLENGER:
        missing.append(Degradation.CHALLENGER_UNAVAILABLE)
    answer = Recommendation(
        response_id=inputs.response_id,
        scene=query.scene,
        items=items,
        rules=(*chosen.effects, *_cut(inputs)),
        versions=Versions(
            bundle=inputs.bundle.version if inputs.bundle else "", rules=inputs.policy.version
        ),
        receipt=receipt_of(inputs.reading, inputs.as_of_us, inputs.table),
        degraded=tuple(dict.fromkeys(missing)),
    )
    broken = violations(shown, situation, rules.settings, chosen.relaxed)
    return Composed(answer, found, marks, tuple(failed), broken)


def _situation(inputs: Inputs) -> Situation:
    query, state = inputs.query, inputs.reading.state
    asked_for = inputs.policy.scene_rules[query.scene].campaigns
    tags = tags_of(state, inputs.as_of_us) if asked_for else ()
    return Situation(
        k=inputs.k,
        as_of_us=inputs.as_of_us,
        purchased=dict(state.purchased),
        excluded=frozenset(query.exclude_item_ids),
        seen=frozenset(recent.item_id for recent in state.recent),
        anchors=frozenset(query.item_ids),
        age_years=query.age_years,
        tags=frozenset(tag.code for tag in tags),
        capped=inputs.capped,
        personalized=query.personalized,
        seed=bytes.fromhex(inputs.response_id),
    )


def _asked(inputs: Inputs, table: ItemTable, situation: Situation) -> Asked:
    query, rules = inputs.query, inputs.policy.scene_rules[inputs.query.scene]
    withheld: frozenset[str] = frozenset()
    if rules.settings.never_purchased and inputs.stock is not None:
        catalogue = inputs.stock.sources.catalogue
        row_of, categories = catalogue.index_of, catalogue.categories
        withheld = frozenset(
            item_id
            for item_id, at_us in inputs.reading.state.purchased
            if not due(
                inputs.as_of_us - at_us,
                categories[row_of[item_id]] if item_id in row_of else "",
                table.facts(item_id),
                rules.settings,
            )
        )
    return Asked(
        scene=inputs.scene,
        k=inputs.k,
        as_of_us=inputs.as_of_us,
        category_share=rules.settings.category_share,
        withheld=withheld,
        excluded=query.exclude_item_ids,
        pinned=tuple(rules.pinned_ids(inputs.as_of_us, situation.tags)),
        without=inputs.without,
        anchors=query.item_ids,
        category=query.category,
    )


def _vectors_of(
    stock: Stock | None, ranked: Sequence[Option]
) -> Callable[[Sequence[int]], FloatSD] | None:
    if stock is None:
        return None
    return lambda places: stock.units([ranked[one].candidate.item_index for one in places])


def _cut(inputs: Inputs) -> tuple[RuleEffect, ...]:
    """That more was asked for than the scene shows, where it was."""
    asked, most = inputs.query.k or 0, inputs.scene.length.most
    if asked <= most or inputs.capped:
        return ()
    note = f"{asked} items were asked for; the scene {inputs.query.scene} shows at most {most}"
    return (RuleEffect(names.LENGTH, asked - most, note),)


def _whys(
    inputs: Inputs, shown: Sequence[Option], at: Sequence[int], chosen: List, marks: Scored
) -> list[_Why]:
    """Why each item stands there, as far as that can be said: the list is good without.

    A ranker that cannot explain costs the explanations, reasons that fail cost both. Of the two
    an answer that is made again leaves out the ranker's: what it could not do then it may now,
    while the reasons, which are this code's alone, fail as they did.
    """
    explain = inputs.query.explain
    silent = Degradation.EXPLANATIONS_UNAVAILABLE in inputs.without
    told = None
    if explain or not silent:
        told = _or_none("reasons", lambda: _reasons(inputs, shown, chosen))
    if told is None:
        return [_Why()] * len(shown)
    reasons, near = told
    explained: Sequence[Explanation | None] | None = None
    if explain and not silent:
        explained = _or_none(
            "explanations",
            lambda: explaining.explain(inputs.bundle, shown, near, marks.rows_CF, at),
        )
    return list(map(_Why, reasons, explained or [None] * len(shown)))


def _or_none(what: str, tell: Callable[[], T]) -> T | None:
    try:
        return tell()
    except Exception as error:  # noqa: BLE001 - whatever a model's runtime raises
        logger.error("the %s of an answer failed: %s", what, where(error))
        return None


def _reasons(
    inputs: Inputs, shown: Sequence[Option], chosen: List
) -> tuple[list[tuple[Reason, ...]], Sequence[Sequence[Neighbour]]]:
    """The reasons of each, and the past that lies near it."""
    state = inputs.reading.state
    near = (
        neighbours(inputs.stock, state, shown, _NEIGHBOURS) if inputs.stock else [[]] * len(shown)
    )
    viewed = {recent.item_id for recent in state.recent}
    interests = customer.category_affinity(state, inputs.as_of_us)
    reasons = [
        reasons_for(option, close, viewed, interests, moves)
        for option, close, moves in zip(shown, near, chosen.moves, strict=True)
    ]
    return reasons, near


def _items(
    shown: Sequence[Option],
    at: Sequence[int],
    chosen: List,
    marks: Scored,
    whys: Sequence[_Why],
) -> tuple[RecommendedItem, ...]:
    """The places of the list; `at` says where each stands among the options."""
    return tuple(
        RecommendedItem(
            item_id=option.item_id,
            rank=rank,
            score=marks.scores[place],
            sources=tuple(option.candidate.ranks),
            reasons=why.reasons,
            category=option.category,
            price_cents=option.price_cents,
            moves=moves,
            propensity=propensity,
            explanation=why.explanation,
        )
        for rank, (option, place, moves, propensity, why) in enumerate(
            zip(shown, at, chosen.moves, chosen.propensities, whys, strict=True), start=1
        )
    )


def _popular(inputs: Inputs, table: ItemTable) -> Found:
    """The popular items of the last backfill: what answers without a bundle."""
    options = tuple(
        Option.of(
            Candidate(one.item_id, -1, one.category, {"popular": 1.0 / rank}, {"popular": rank}),
            one.price_cents,
            table.facts(one.item_id),
        )
        for rank, one in enumerate(inputs.popular, start=1)
    )
    return Found(options, {})
