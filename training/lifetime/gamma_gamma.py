"""Gamma-Gamma: what a customer spends in a purchase.

Fader and Hardie, "The Gamma-Gamma Model of Monetary Value" (2013). A purchase is worth
Gamma(p, nu), and nu varies over customers as Gamma(q, v); money and frequency are independent.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import optimize
from scipy.special import gammaln

from nearline.say import Words
from training.lifetime.bg_nbd import Unfitted

# Axes: C customers.
Floats = npt.NDArray[np.float64]
_LIMIT = 9.0  # |ln parameter|, as in `bg_nbd`.


@dataclass(frozen=True, slots=True)
class GammaGamma:
    """A fitted model; v is in the unit of money, p and q have none."""

    p: float
    q: float
    v: float

    @property
    def mean(self) -> float:
        """What a purchase of a customer nobody knows is worth; raises where q <= 1 has no mean."""
        if self.q <= 1.0:
            raise self._without_mean()
        return self.p * self.v / (self.q - 1.0)

    def conditional(self, purchases_C: Floats, mean_C: Floats) -> Floats:
        """(C,): the value of a next purchase, given the number of purchases and their mean.

        Their equation 5: the customer's own mean, drawn towards everybody's. Without a purchase
        it is `mean`.
        """
        known_C = np.where(purchases_C > 0, mean_C, 0.0) * purchases_C
        divisor_C = self.p * purchases_C + self.q - 1.0
        if np.any(divisor_C <= 0):
            raise self._without_mean()
        return np.asarray(self.p * (self.v + known_C) / divisor_C, np.float64)

    def log_likelihood(self, purchases_C: Floats, mean_C: Floats) -> float:
        """Natural logarithm, summed over customers (their equation 1a); both above 0."""
        p, q, v = self.p, self.q, self.v
        all_C = p * purchases_C
        values_C = (
            gammaln(all_C + q) - gammaln(all_C) - gammaln(q)
            + q * np.log(v) + (all_C - 1.0) * np.log(mean_C) + all_C * np.log(purchases_C)
            - (all_C + q) * np.log(v + purchases_C * mean_C)
        )  # fmt: skip
        return float(values_C.sum())

    def _without_mean(self) -> Unfitted:
        en, zh = "a purchase has no mean value", "购买金额没有均值"
        return Unfitted(Words(f"with q = {self.q:.3g} {en}", f"q = {self.q:.3g} 时{zh}"))


def fit(purchases_C: Floats, mean_C: Floats) -> GammaGamma:
    """The most likely parameters; raises Unfitted when the purchases do not tell them.

    Only customers with a purchase, of a value above 0, may be given.
    """
    if len(purchases_C) < 2 or np.any(purchases_C <= 0) or np.any(mean_C <= 0):
        few = "fewer than two customers have bought for more than nothing"
        raise Unfitted(Words(few, "消费金额大于零的顾客不足两位"))
    unit = float(np.median(mean_C))
    scaled_C = mean_C / unit

    def badness(logs: Floats) -> float:
        model = GammaGamma(*np.exp(logs).tolist())
        return -model.log_likelihood(purchases_C, scaled_C) / len(scaled_C)

    best = optimize.minimize(
        badness,
        np.log([4.0, 3.0, 1.0]),
        method="L-BFGS-B",
        bounds=[(-_LIMIT, _LIMIT)] * 3,
        options={"maxiter": 2_000},
    )
    best = optimize.minimize(  # Numerical slopes stop early; the simplex finds the last digits.
        badness, best.x, method="Nelder-Mead",
        options={"xatol": 1e-9, "fatol": 1e-12, "maxiter": 4_000},
    )  # fmt: skip
    logs = np.asarray(best.x, np.float64)
    if np.abs(logs).max() > _LIMIT - 1e-3:
        vague = "what customers spend does not tell how it varies"
        raise Unfitted(Words(vague, "顾客的消费金额不足以看出其差异"))
    p, q, v = np.exp(logs).tolist()
    return GammaGamma(p, q, v * unit)
