"""What the models say of each customer, whatever a row or a model makes of it. Pure.

A fault costs the scores of the customer whose row it is, at most; or its reasons, where the
scores can be told without.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

from nearline.contracts.answer import Degradation, ScoresQuery
from nearline.logs import where
from nearline.transforms.customer import CustomerState
from serving.score_models import ScoreModels
from serving.scores import Foretold, foretell

_FAILED = Foretold(missing=(Degradation.SCORES_UNAVAILABLE, Degradation.ANSWER_FAILED))


def foretell_each(
    models: ScoreModels,
    states: Sequence[CustomerState],
    as_of_us: int,
    query: ScoresQuery,
    faults: list[str],
) -> list[Foretold]:
    """As `foretell` does, and never raises: every number that it returns is finite.

    `faults` gets what failed, and where in the code; nothing personal.
    """
    return [_sound(one, faults) for one in _told(models, states, as_of_us, query, faults)]


def _told(
    models: ScoreModels,
    states: Sequence[CustomerState],
    as_of_us: int,
    query: ScoresQuery,
    faults: list[str],
) -> list[Foretold]:
    """Half by half the row is found that nothing can be said of; then that one without reasons."""
    try:
        return foretell(models, states, as_of_us, query)
    except Exception as error:  # noqa: BLE001 - whatever a model's runtime raises
        faults.append(where(error))
    if len(states) > 1:
        half = len(states) // 2
        return [
            one
            for part in (states[:half], states[half:])
            for one in _told(models, part, as_of_us, query, faults)
        ]
    if not query.reasons:
        return [_FAILED]
    return [
        _unexplained(one)
        for one in _told(models, states, as_of_us, replace(query, reasons=False), faults)
    ]


def _sound(told: Foretold, faults: list[str]) -> Foretold:
    """The same without what is no finite number: JSON has none for it, and it has no order."""
    numbers: list[float | None] = [score.probability for score in told.scores]
    if (value := told.value) is not None:
        numbers += (value.expected_purchases, value.alive_probability, value.value_cents)
    if not _finite(numbers):
        faults.append("a score is no finite number")
        return _FAILED
    why = [reason for score in told.scores for reason in score.reasons]
    if not _finite(number for reason in why for number in (reason.contribution, reason.value)):
        faults.append("a score's reason is no finite number")
        return _unexplained(told)
    return told


def _unexplained(told: Foretold) -> Foretold:
    """The same without reasons, which is told where there are scores."""
    if not told.scores:
        return told
    scores = tuple(replace(score, reasons=()) for score in told.scores)
    return replace(
        told, scores=scores, missing=(*told.missing, Degradation.EXPLANATIONS_UNAVAILABLE)
    )


def _finite(numbers: Iterable[float | None]) -> bool:
    return all(number is None or math.isfinite(number) for number in numbers)


__all__ = ["foretell_each"]
