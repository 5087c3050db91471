"""Scores of customers: calibrated probabilities, what speaks for and against, lifetime value.

The reasons are TreeSHAP's contributions in log-odds, so they add up to the raw score;
calibration comes after and keeps their order. All rows of a model are scored in one call.
Pure: `serving.foretelling` bears its faults, `serving.score_reading` reads and waits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nearline.contracts.answer import (
    Degradation,
    FeatureReason,
    LifetimeValue,
    Score,
    ScoresQuery,
)
from nearline.contracts.bundle import Task
from nearline.transforms import lifetime
from nearline.transforms.customer import CustomerState
from nearline.transforms.lifetime import LifetimeModel
from nearline.transforms.score_rows import customer_row, demand_rows
from serving.score_models import VALUE_WEEKS, FloatRF, ScoreModel, ScoreModels
from serving.wording import feature_words

TOP_REASONS = 3
Row = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Foretold:
    """What the models say of one customer; `missing` names what they could not say."""

    scores: tuple[Score, ...] = ()
    value: LifetimeValue | None = None
    missing: tuple[Degradation, ...] = ()


@dataclass(frozen=True, slots=True)
class _Asked:
    """One row: of which customer (by place), in which category, by which numbers."""

    place: int
    category: str
    row: Row


def foretell(
    held: ScoreModels, states: Sequence[CustomerState], as_of_us: int, query: ScoresQuery
) -> list[Foretold]:
    """What the models say of each customer; nothing of a stranger, which is told."""
    models = held.of(*query.tasks)
    missing: list[list[Degradation]] = [
        [] if state.first_seen_us else [Degradation.CUSTOMER_UNKNOWN] for state in states
    ]
    known = [place for place, state in enumerate(states) if state.first_seen_us]
    lacking = not models or not set(query.tasks) <= {model.task for model in models}
    own = {place: customer_row(states[place], as_of_us) for place in known}
    demanded: dict[int, dict[str, Row]] = {}
    if any(model.task is Task.CATEGORY_DEMAND for model in models):
        demanded = {
            place: demand_rows(states[place], as_of_us, held.category_shares, own[place])
            for place in known
        }
    scores: list[list[Score]] = [[] for _ in states]
    for model in models:
        spoken = [place for place in known if model.speaks_of(states[place], as_of_us)]
        for place in set(known).difference(spoken):
            missing[place].append(Degradation.OUTSIDE_COHORT)
        asked = _asked(model, spoken, states, own, demanded, query)
        for one, score in zip(asked, _scored(model, asked, query.reasons), strict=True):
            scores[one.place].append(score)
    values = _values(held.lifetime, [states[place] for place in known], as_of_us)
    found: list[Foretold] = []
    value_of = dict(zip(known, values, strict=True))
    for place, state in enumerate(states):
        value = value_of.get(place)
        if lacking:
            missing[place].insert(0, Degradation.SCORES_UNAVAILABLE)
        if value is None and lifetime.bought(state):
            missing[place].append(Degradation.LIFETIME_UNAVAILABLE)
        found.append(
            Foretold(_in_order(scores[place]), value, tuple(dict.fromkeys(missing[place])))
        )
    return found


def _in_order(scores: list[Score]) -> tuple[Score, ...]:
    """As the models stand, and of one model the likeliest category first."""
    ranked = {name: at for at, name in enumerate(dict.fromkeys(one.name for one in scores))}
    scores.sort(key=lambda one: (ranked[one.name], -one.probability if one.category else 0.0))
    return tuple(scores)


def _asked(
    model: ScoreModel,
    places: Sequence[int],
    states: Sequence[CustomerState],
    own: dict[int, Row],
    demanded: dict[int, dict[str, Row]],
    query: ScoresQuery,
) -> list[_Asked]:
    """The rows that a model is asked about: as in training, see `training.scores.questions`."""
    if model.task is Task.CATEGORY_DEMAND:
        return [
            _Asked(place, category, row)
            for place in places
            for category, row in demanded[place].items()
            if not query.categories or category in query.categories
        ]
    if model.task is Task.REPURCHASE:
        places = [place for place in places if lifetime.bought(states[place])]
    return [_Asked(place, "", own[place]) for place in places]


def _scored(model: ScoreModel, asked: Sequence[_Asked], reasons: bool) -> list[Score]:
    """A score a row."""
    if not asked:
        return []
    rows_RF = np.asarray([one.row for one in asked], np.float32)
    chances = model.probabilities(rows_RF).tolist()
    why = _reasons(model, asked, rows_RF) if reasons else [()] * len(asked)
    return [
        Score(model.name, model.task.value, model.horizon_days, chance, reason, one.category)
        for one, chance, reason in zip(asked, chances, why, strict=True)
    ]


def _reasons(
    model: ScoreModel, asked: Sequence[_Asked], rows_RF: FloatRF
) -> list[tuple[FeatureReason, ...]]:
    pulls_RF = model.contributions(rows_RF)
    strongest_RK = np.argsort(-np.abs(pulls_RF), axis=1, kind="stable")[:, :TOP_REASONS]
    features = model.features
    return [
        tuple(
            _reason(features[place], one.row[model.columns[place]], float(pulls[place]))
            for place in strongest.tolist()
            if pulls[place] != 0
        )
        for one, pulls, strongest in zip(asked, pulls_RF, strongest_RK, strict=True)
    ]


def _reason(feature: str, value: float, contribution: float) -> FeatureReason:
    text_en, text_zh = feature_words(feature, value)
    return FeatureReason(
        feature=feature,
        value=None if math.isnan(value) else value,
        contribution=contribution,
        text_en=text_en,
        text_zh=text_zh,
    )


def _values(
    model: LifetimeModel | None, states: Sequence[CustomerState], as_of_us: int
) -> list[LifetimeValue | None]:
    """A value for each buyer all of whose purchases are known by their days, else None."""
    found: list[LifetimeValue | None] = [None] * len(states)
    places = [
        place
        for place, state in enumerate(states)
        if lifetime.bought(state) and lifetime.counted(state)
    ]
    if model is None or not places:
        return found
    buyers = [states[place] for place in places]
    seen = lifetime.summary_of(buyers, as_of_us)
    purchases_C = model.purchases.conditional(seen, float(VALUE_WEEKS))
    cents: list[float | None] = [None] * len(places)
    if model.money is not None:
        means_C = lifetime.mean_cents_of(buyers)
        cents = (purchases_C * model.money.conditional(seen.repeats_C + 1.0, means_C)).tolist()
    alive = model.purchases.alive(seen).tolist()
    days = round(VALUE_WEEKS * lifetime.DAYS_A_WEEK)
    for place, *told in zip(places, purchases_C.tolist(), cents, alive, strict=True):
        found[place] = LifetimeValue(days, *told)
    return found
