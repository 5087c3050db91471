"""Why an item stands where it stands, for the people who run the shop. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from nearline.contracts.answer import Explanation, FeatureReason, PastEvent
from nearline.contracts.event import Kind
from nearline.rankers import FloatCF
from nearline.transforms.ranking import RANKER_FEATURES
from serving.bundles import Bundle
from serving.finding import Neighbour, Option
from serving.wording import ranker_words

TOP_CONTRIBUTIONS = 6


def explain(
    bundle: Bundle | None,
    shown: Sequence[Option],
    near: Sequence[Sequence[Neighbour]],
    rows_CF: FloatCF | None,
    at: Sequence[int],
) -> list[Explanation]:
    """One explanation per option shown; `at` says which row of the ranker's is whose.

    Raises whatever a ranker does, and ValueError for contributions that JSON has no numbers for.
    """
    pulls: Sequence[tuple[FeatureReason, ...]] = [()] * len(shown)
    if bundle is not None and bundle.ranker is not None and rows_CF is not None and shown:
        rows = rows_CF[list(at)]
        found = bundle.ranker.contributions(rows)
        if found is not None and not np.isfinite(found).all():
            raise ValueError("a ranker's contributions are no finite numbers")
        if found is not None:
            pulls = [_strongest(row, pull) for row, pull in zip(rows, found, strict=True)]
    return [
        Explanation(
            source_ranks=dict(option.candidate.ranks),
            nearest=tuple(
                PastEvent(
                    Kind(one.recent.kind).name.lower(),
                    one.recent.item_id,
                    one.recent.at_us,
                    round(one.cosine, 6),
                )
                for one in close
            ),
            contributions=reasons,
        )
        for option, close, reasons in zip(shown, near, pulls, strict=True)
    ]


def _strongest(row_F: FloatCF, pull_F: FloatCF) -> tuple[FeatureReason, ...]:
    order = np.argsort(-np.abs(pull_F), kind="stable")[:TOP_CONTRIBUTIONS]
    return tuple(
        _reason(RANKER_FEATURES[place], float(row_F[place]), float(pull_F[place]))
        for place in order.tolist()
        if pull_F[place] != 0
    )


def _reason(feature: str, value: float, contribution: float) -> FeatureReason:
    text_en, text_zh = ranker_words(feature, value)
    return FeatureReason(
        feature, None if math.isnan(value) else value, contribution, text_en, text_zh
    )
