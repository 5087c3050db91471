"""The order of candidates: by the ranker, by the votes of the sources, or by both. Pure."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from nearline.contracts.answer import Degradation
from nearline.rankers import Ranker
from nearline.transforms.customer import CustomerState
from nearline.transforms.ranking import assemble
from serving.finding import Option
from serving.items import ItemTable
from serving.policy.model import RANKER
from serving.policy.votes import voted

# Axes: C candidates, F ranker features.
FloatCF = npt.NDArray[np.float32]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Scored:
    """The options' places best first, one score per option, and what the ranker saw, if it spoke.

    Higher scores are better; they compare within one answer. Equal ones keep retrieval's order.
    """

    order: tuple[int, ...]
    scores: tuple[float, ...]
    rows_CF: FloatCF | None = None
    failed: tuple[Degradation, ...] = ()


def scored(
    options: Sequence[Option],
    ranker: Ranker | None,
    state: CustomerState,
    table: ItemTable,
    as_of_us: int,
    weights: Mapping[str, float],
    late: Callable[[], bool],
    without: AbstractSet[Degradation] = frozenset(),
) -> Scored:
    """The order by a scene's weights (`serving.policy.votes`).

    The ranker is asked only where they name it, and while there is time; where it does not
    answer, the sources do. `without` names parts to do without, as if they failed.
    """
    candidates = [option.candidate for option in options]
    rows_CF, scores, failed = None, None, list[Degradation]()
    if RANKER in weights and candidates:
        if Degradation.DEADLINE in without or (not without and late()):
            failed = [Degradation.RANKER_UNAVAILABLE, Degradation.DEADLINE]
        elif Degradation.RANKER_UNAVAILABLE in without:
            failed = [Degradation.RANKER_UNAVAILABLE]
        else:
            items_CI = table.rows([one.item_id for one in candidates], as_of_us)
            rows_CF = assemble(state, candidates, items_CI, as_of_us)
            scores = _ranked(ranker, rows_CF)
            if scores is None:
                rows_CF, failed = None, [Degradation.RANKER_UNAVAILABLE]
    order, marks = voted([one.ranks for one in candidates], scores, weights)
    return Scored(tuple(order), tuple(marks), rows_CF, tuple(failed))


def _ranked(ranker: Ranker | None, rows_CF: FloatCF) -> list[float] | None:
    if ranker is None:
        return None
    try:
        scores = ranker.scores(rows_CF)
    except Exception as error:  # noqa: BLE001 - whatever its runtime raises, the sources' order stands
        logger.warning("the ranker failed: %s", type(error).__name__)
        return None
    if scores.shape != (len(rows_CF),) or not np.isfinite(scores).all():
        logger.warning("the ranker's scores are no finite numbers, one for each row")
        return None
    found: list[float] = scores.tolist()
    return found
