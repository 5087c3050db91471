"""BG/NBD fitted: how often a customer will buy again, and whether one still is a customer.

The model itself, with its source, is `nearline.transforms.lifetime`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import optimize
from scipy.special import digamma, expit

from nearline.say import Words
from nearline.transforms.lifetime import BgNbd, Summary, Unfitted

# Axes: C customers.
Floats = npt.NDArray[np.float64]
_LIMIT = 9.0  # |ln parameter|: beyond it the data do not say where a parameter lies.
_PULL = 1e-3  # A customer's share of log likelihood for a parameter e times off: see `fit`.


def fit(seen: Summary) -> BgNbd:
    """The most likely parameters; raises Unfitted when nobody has bought twice.

    Starts from several points, since the likelihood is flat along ridges; gradients are exact.
    Where a parameter would run off without end (all customers alike, say, or none who leaves),
    a weak pull decides it; forecasts hardly feel it.
    """
    if not (seen.repeats_C > 0).any():
        raise Unfitted(Words("nobody has bought twice", "没有顾客购买过两次"))
    kinds, counts = np.unique(
        np.column_stack([seen.repeats_C, seen.last_C, seen.age_C]), axis=0, return_counts=True
    )
    unit = float(kinds[:, 2].max())  # Time of about 1 makes the four parameters alike in size.
    one_of_each = Summary(kinds[:, 0], kinds[:, 1] / unit, kinds[:, 2] / unit)
    weights = counts / counts.sum()

    logs = _most_likely(one_of_each, weights, pull=0.0)
    if np.abs(logs).max() > _LIMIT - 1e-3:
        logs = _most_likely(one_of_each, weights, pull=_PULL)
    r, alpha, a, b = np.exp(logs).tolist()
    return BgNbd(r, alpha * unit, a, b)


def _most_likely(seen: Summary, weights: Floats, pull: float) -> Floats:
    """The logs of the parameters; `pull` draws them towards 0, where the data leave them open."""

    def badness(logs: Floats) -> tuple[float, Floats]:
        values, slopes = _with_slopes(seen, BgNbd(*np.exp(logs).tolist()))
        bad = -float(weights @ values) + pull * float(logs @ logs)
        return bad, -(slopes @ weights) * np.exp(logs) + 2.0 * pull * logs

    found = [
        optimize.minimize(
            badness,
            np.log(start),
            jac=True,
            method="L-BFGS-B",
            bounds=[(-_LIMIT, _LIMIT)] * 4,
            options={"ftol": 1e-14, "gtol": 1e-9, "maxiter": 2_000},
        )
        for start in ([0.3, 0.2, 0.8, 2.0], [1.0, 1.0, 1.0, 1.0], [0.1, 0.02, 0.3, 3.0])
    ]
    best = min(found, key=lambda result: float(result.fun))
    return np.asarray(best.x, np.float64)


def _with_slopes(seen: Summary, model: BgNbd) -> tuple[Floats, Floats]:
    """(C,) log likelihoods, and (4, C) their derivatives by r, alpha, a and b."""
    r, alpha, a, b = model.r, model.alpha, model.a, model.b
    x_C = seen.repeats_C
    values_C, stayed_C, dropped_C = model.terms(seen)
    out_C = expit(dropped_C - stayed_C)
    in_C = 1.0 - out_C
    log_C = in_C * np.log(alpha + seen.age_C) + out_C * np.log(alpha + seen.last_C)
    by_r = digamma(r + x_C) - digamma(r) + np.log(alpha) - log_C
    pace_C = in_C / (alpha + seen.age_C) + out_C / (alpha + seen.last_C)
    by_alpha = r / alpha - (r + x_C) * pace_C
    both_C = digamma(a + b) - digamma(a + b + x_C)
    by_a = both_C + out_C / a
    before_C = np.where(x_C > 0, b + x_C - 1.0, 1.0)  # out_C is 0 without a repeat
    by_b = both_C + digamma(b + x_C) - digamma(b) - out_C / before_C
    return values_C, np.stack([by_r, by_alpha, by_a, by_b])
