"""Churn scores: calibrated probabilities, and what speaks for and against leaving.

The reasons are TreeSHAP's contributions in log-odds (Lundberg et al. 2018), so they add up
to the raw score; calibration comes after and keeps their order.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from nearline.contracts.answer import ChurnScore, Degradation, FeatureReason
from nearline.errors import StoreUnavailable
from nearline.online import CustomerReading
from nearline.transforms import customer
from nearline.transforms.customer import CUSTOMER_FEATURES, CustomerState
from serving.bundles import Bundle, ChurnModel, Shelf, features_row
from serving.features import Features
from serving.rankers import scores_of
from serving.wording import feature_words

TOP_REASONS = 3


@dataclass(frozen=True, slots=True)
class ChurnRequest:
    """Whose scores, at which instant."""

    customer_id: str
    as_of_us: int


@dataclass(frozen=True, slots=True)
class ChurnScored:
    """The scores with what was read for them; `bundle` is empty when none is loaded."""

    bundle: str
    reading: CustomerReading
    scores: tuple[ChurnScore, ...]
    degraded: tuple[Degradation, ...]


class Churn:
    """Reads one customer and scores with the current bundle."""

    def __init__(self, features: Features, shelf: Shelf) -> None:
        self._features = features
        self._shelf = shelf

    async def score(self, request: ChurnRequest) -> ChurnScored:
        """No scores for a customer never seen: there is nothing to leave yet."""
        bundle = self._shelf.current
        try:
            reading = await self._features.customer(request.customer_id)
        except StoreUnavailable:
            stranger = CustomerReading(customer.EMPTY, 0, None)
            missing = (Degradation.FEATURES_UNAVAILABLE, Degradation.CHURN_UNAVAILABLE)
            return ChurnScored(bundle.version if bundle else "", stranger, (), missing)
        if bundle is None:
            missing = (Degradation.BUNDLE_UNAVAILABLE, Degradation.CHURN_UNAVAILABLE)
            return ChurnScored("", reading, (), missing)
        if not bundle.churn:
            missing_models = (Degradation.CHURN_UNAVAILABLE,)
            return ChurnScored(bundle.version, reading, (), missing_models)
        scores = scores_for(bundle, reading.state, request.as_of_us)
        silent = reading.state.first_seen_us and len(scores) < len(bundle.churn)
        withheld = (Degradation.OUTSIDE_COHORT,) if silent else ()
        return ChurnScored(bundle.version, reading, scores, withheld)


def scores_for(bundle: Bundle, state: CustomerState, as_of_us: int) -> tuple[ChurnScore, ...]:
    """One score per horizon, shortest first; none for a stranger.

    Nor from a model that was calibrated on customers seen more lately than this one: its number
    would look like a probability and be none.
    """
    if not state.first_seen_us:
        return ()
    values = customer.finish(state, as_of_us)
    unseen_us = as_of_us - state.last_seen_us
    return tuple(_score(model, values) for model in bundle.churn if model.speaks_of(unseen_us))


def _score(model: ChurnModel, values: dict[str, float]) -> ChurnScore:
    import xgboost

    row = features_row(values)
    raw = float(scores_of(model.booster, row)[0])
    matrix = xgboost.DMatrix(row, nthread=1)
    # (1, F + 1): the last is the base value, which explains nobody.
    pulls = model.booster.predict(matrix, pred_contribs=True, validate_features=False)[0, :-1]
    strongest = np.argsort(-np.abs(pulls), kind="stable")[:TOP_REASONS]
    return ChurnScore(
        horizon_days=model.horizon_days,
        probability=model.calibrated(raw),
        reasons=tuple(
            _reason(CUSTOMER_FEATURES[place], values, float(pulls[place]))
            for place in strongest.tolist()
            if pulls[place] != 0
        ),
    )


def _reason(feature: str, values: dict[str, float], contribution: float) -> FeatureReason:
    value = values[feature]
    text_en, text_zh = feature_words(feature, value)
    return FeatureReason(
        feature=feature,
        value=None if math.isnan(value) else value,
        contribution=contribution,
        text_en=text_en,
        text_zh=text_zh,
    )
