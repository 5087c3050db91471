"""From purchases to what a customer will still spend."""

from __future__ import annotations

import numpy as np
import pytest

from nearline.transforms.lifetime import BgNbd, GammaGamma, LifetimeModel, Unfitted
from training.lifetime.history import bought_between, buyers_by

ANN, BEN, CAT = 0, 1, 2
BOUGHT = np.array([[ANN, 0], [ANN, 0], [ANN, 7], [ANN, 21], [BEN, 10], [BEN, 30], [CAT, 29]])


def test_purchases_of_a_day_are_one_and_time_is_counted_from_each_one_s_first() -> None:
    early = buyers_by(BOUGHT[:, 0], BOUGHT[:, 1], until_day=28)

    assert early.customer_C.tolist() == [ANN, BEN]  # Cat has not come yet
    assert early.seen.repeats_C.tolist() == [2, 0]
    assert early.seen.last_C.tolist() == [3, 0]
    assert early.seen.age_C.tolist() == [4, 18 / 7]


def test_what_is_bought_afterwards_is_counted_by_day_for_those_asked_about() -> None:
    asked = np.array([ANN, BEN])

    assert bought_between(BOUGHT[:, 0], BOUGHT[:, 1], 28, 40, asked).tolist() == [0, 1]
    assert bought_between(BOUGHT[:, 0], BOUGHT[:, 1], 0, 21, asked).tolist() == [2, 1]
    assert bought_between(BOUGHT[:, 0], BOUGHT[:, 1], 40, 50, asked).tolist() == [0, 0]


def test_value_is_purchases_foreseen_times_their_worth_less_the_discount() -> None:
    seen = buyers_by(BOUGHT[:, 0], BOUGHT[:, 1], until_day=28).seen
    model = LifetimeModel(BgNbd(0.24, 4.4, 0.8, 2.4), GammaGamma(6.25, 3.74, 1_545.0))
    spent = np.array([2_000.0, 9_000.0])

    plain = model.value_cents(seen, spent, weeks=26, yearly_discount=0.0)
    today = model.value_cents(seen, spent, weeks=26, yearly_discount=0.15)

    each = model.money.conditional(seen.repeats_C + 1, spent) if model.money else 0
    np.testing.assert_allclose(plain, model.purchases.conditional(seen, 26.0) * each)
    # Nothing is worth less than half a year of discount, nor more than none.
    assert (today < plain).all()
    assert (today > plain * 1.15 ** (-26 * 7 / 365.25)).all()


def test_without_spending_there_is_no_value() -> None:
    seen = buyers_by(BOUGHT[:, 0], BOUGHT[:, 1], until_day=28).seen

    with pytest.raises(Unfitted, match="could not be learnt"):
        LifetimeModel(BgNbd(0.24, 4.4, 0.8, 2.4), None).value_cents(seen, np.zeros(2), 4, 0.0)
