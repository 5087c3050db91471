"""Gamma-Gamma fitted: what a customer spends in a purchase.

The model itself, with its source, is `nearline.transforms.lifetime`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import optimize

from nearline.say import Words
from nearline.transforms.lifetime import GammaGamma, Unfitted

# Axes: C customers.
Floats = npt.NDArray[np.float64]
_LIMIT = 9.0  # |ln parameter|, as in `bg_nbd`.


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
