"""What a purchase is worth."""

from __future__ import annotations

import numpy as np
import pytest

from nearline.transforms.lifetime import GammaGamma, Unfitted
from training.lifetime.gamma_gamma import fit


def test_a_customer_of_many_purchases_is_taken_at_one_s_own_word() -> None:
    model = GammaGamma(p=6.25, q=3.74, v=15.45)

    foreseen = model.conditional(np.array([0.0, 1.0, 1e6]), np.array([0.0, 100.0, 100.0]))

    assert foreseen[0] == pytest.approx(model.mean) == pytest.approx(6.25 * 15.45 / 2.74)
    assert model.mean < foreseen[1] == pytest.approx(6.25 * 115.45 / 8.99)
    assert foreseen[2] == pytest.approx(100.0, rel=1e-3)


def test_customers_drawn_by_its_story_give_back_their_parameters() -> None:
    draw = np.random.default_rng(11)
    purchases = draw.integers(1, 30, 20_000).astype(float)
    rate = draw.gamma(4.0, 1 / 50.0, len(purchases))  # q = 4, v = 50
    mean = draw.gamma(6.0 * purchases, 1 / rate) / purchases  # p = 6

    model = fit(purchases, mean)

    # Three parameters explain chance a little better than the truth does, and no more.
    truth = GammaGamma(6.0, 4.0, 50.0).log_likelihood(purchases, mean)
    assert truth <= model.log_likelihood(purchases, mean) < truth + 8
    assert model.p == pytest.approx(6.0, rel=0.1)
    assert model.q == pytest.approx(4.0, rel=0.1)
    assert model.mean == pytest.approx(6.0 * 50.0 / 3.0, rel=0.03)


def test_the_unit_of_money_does_not_matter() -> None:
    draw = np.random.default_rng(12)
    purchases = draw.integers(1, 5, 500).astype(float)
    mean = draw.gamma(6.0 * purchases, 1 / draw.gamma(4.0, 1 / 50.0, 500)) / purchases

    euros, cents = fit(purchases, mean), fit(purchases, mean * 100)

    assert cents.mean == pytest.approx(100 * euros.mean, rel=1e-6)


def test_nothing_spent_is_refused_with_a_sentence() -> None:
    with pytest.raises(Unfitted, match="fewer than two"):
        fit(np.array([3.0]), np.array([10.0]))
    with pytest.raises(Unfitted, match="fewer than two"):
        fit(np.array([3.0, 1.0]), np.array([10.0, 0.0]))
    with pytest.raises(Unfitted, match="no mean"):
        _ = GammaGamma(2.0, 0.9, 1.0).mean
