"""What each customer will still spend: BG/NBD for how often, Gamma-Gamma for how much.

Learnt from a shop's own history, and judged on its newest part: the model of the older part
foretells the purchases of the newer one. What is kept is learnt from the whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from math import isfinite

import numpy as np
import numpy.typing as npt

from nearline.contracts.event import Kind
from nearline.say import Words
from nearline.transforms.buckets import DAY_US
from nearline.transforms.lifetime import (
    DAYS_A_WEEK,
    BgNbd,
    GammaGamma,
    LifetimeModel,
    Unfitted,
)
from training.config import LifetimeConfig
from training.datasets import Dataset
from training.lifetime import bg_nbd, gamma_gamma
from training.lifetime.history import Buyers, bought_between, buyers_by
from training.states import States

# Axes: C customers, N purchases.
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
_AT_ONCE = 1_000  # states in memory


def learn(
    dataset: Dataset, states: States, config: LifetimeConfig
) -> tuple[LifetimeModel, dict[str, float]]:
    """The model of the whole history, and how its older part foretold the newer one.

    Figures: `lifetime_correlation` of foretold and actual purchases over customers, the same
    for each one's past rate held on (`lifetime_rate_correlation`), and the totals. Raises
    Unfitted with the reason.
    """
    bought = dataset.interactions.pick(dataset.interactions.kind == int(Kind.PURCHASE))
    day_N = bought.occurred_at_us // DAY_US
    # Whole days only: what is left of the last one would be a day with fewer purchases.
    last_day = (dataset.to_us + 1) // DAY_US - 1
    cut_day = last_day - int(config.holdout_share * (last_day - dataset.from_us // DAY_US))
    early = buyers_by(bought.customer, day_N, cut_day)
    whole = buyers_by(bought.customer, day_N, last_day)
    if min(len(early.seen), len(whole.seen)) < config.min_customers:
        why = Words(
            f"{len(early.seen)} customers bought in the older part, and {config.min_customers} "
            "are needed",
            f"较早部分只有 {len(early.seen)} 位顾客购买过，至少需要 {config.min_customers} 位",
        )
        raise Unfitted(why)
    figures = judge(bg_nbd.fit(early.seen), early, bought.customer, day_N, cut_day, last_day)
    purchases = bg_nbd.fit(whole.seen)
    money = _money(dataset, states, whole, (last_day + 1) * DAY_US - 1)
    model = LifetimeModel(purchases, money)
    figures |= {f"lifetime_{name}": value for name, value in asdict(purchases).items()}
    return model, {name: value for name, value in figures.items() if isfinite(value)}


def judge(
    model: BgNbd, early: Buyers, customer_N: Ints, day_N: Ints, cut_day: int, last_day: int
) -> dict[str, float]:
    """How a model of the time up to one day foretells the purchases up to another."""
    weeks = (last_day - cut_day) / DAYS_A_WEEK
    actual_C = bought_between(customer_N, day_N, cut_day, last_day, early.customer_C)
    foretold_C = model.conditional(early.seen, weeks)
    rate_C = early.seen.repeats_C / np.maximum(early.seen.age_C, 1.0 / DAYS_A_WEEK) * weeks
    return {
        "lifetime_correlation": _correlation(foretold_C, actual_C),
        "lifetime_rate_correlation": _correlation(rate_C, actual_C),
        "lifetime_actual_purchases": float(actual_C.sum()),
        "lifetime_foretold_purchases": float(foretold_C.sum()),
        "lifetime_holdout_weeks": weeks,
        "lifetime_customers": float(len(early.seen)),
    }


def _money(dataset: Dataset, states: States, buyers: Buyers, at_us: int) -> GammaGamma | None:
    """What a day of purchases is worth, from everything that each customer has spent."""
    ids = [dataset.customer_ids[row] for row in buyers.customer_C.tolist()]
    spent_C = _spent_cents(ids, states, at_us)
    times_C = buyers.seen.repeats_C + 1.0
    paid_C = spent_C > 0
    try:
        model = gamma_gamma.fit(times_C[paid_C], spent_C[paid_C] / times_C[paid_C])
    except Unfitted:
        return None
    return model if model.q > 1.0 else None


def _spent_cents(ids: Sequence[str], states: States, at_us: int) -> Floats:
    spent: list[int] = []
    for start in range(0, len(ids), _AT_ONCE):
        part = ids[start : start + _AT_ONCE]
        spent += [state.spend_total_cents for state in states.customers(part, [at_us] * len(part))]
    return np.array(spent, np.float64)


def _correlation(left_C: Floats, right_C: Floats) -> float:
    """Pearson's; NaN where one of them does not vary."""
    if left_C.std() == 0 or right_C.std() == 0:
        return float("nan")
    return float(np.corrcoef(left_C, right_C)[0, 1])
