"""BG/NBD: how often a customer will buy again, and whether one still is a customer.

Fader, Hardie and Lee, "Counting Your Customers the Easy Way", Marketing Science 2005. While
alive a customer buys at a Poisson rate, drawn from Gamma(r, alpha) over customers; after each
purchase one drops out with a chance drawn from Beta(a, b). Time is in any one unit (weeks here).

P(alive) is no churn score: a customer who bought once has P(alive) = 1 by construction, however
long ago. Rank warnings by `training.scores`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy import optimize
from scipy.special import digamma, expit, gammaln, hyp2f1

from nearline.say import Words
from training.lifetime.history import Summary

# Axes: C customers.
Floats = npt.NDArray[np.float64]
_LIMIT = 9.0  # |ln parameter|: beyond it the data do not say where a parameter lies.
_PULL = 1e-3  # A customer's share of log likelihood for a parameter e times off: see `fit`.
_NEAR_ONE = 1e-4  # a = 1 and a + b = 1 are 0 / 0 in the formulas; nearer than this is bridged.


class Unfitted(ValueError):
    """Purchases that no such model can be fitted to; `why` has no full stop."""

    def __init__(self, why: Words) -> None:
        self.why = why
        super().__init__(why)


@dataclass(frozen=True, slots=True)
class BgNbd:
    """A fitted model: its four parameters, all above 0."""

    r: float
    alpha: float
    a: float
    b: float

    def log_likelihood(self, seen: Summary) -> float:
        """Natural logarithm, summed over customers (their equation 6)."""
        return float(_terms(seen, self)[0].sum())

    def expected(self, time: float) -> float:
        """Purchases up to `time` of a customer who starts at 0, the first not counted (eq. 9)."""
        start = np.zeros(1)
        return float(self._still(start, start, time)[0])

    def conditional(self, seen: Summary, time: float) -> Floats:
        """(C,): purchases within `time` from now, given what each did until now (eq. 10)."""
        return self._still(seen.repeats_C, seen.age_C, time) * self.alive(seen)

    def alive(self, seen: Summary) -> Floats:
        """(C,): the chance of not having dropped out; 1 for who bought once (see above)."""
        _, stayed_C, dropped_C = _terms(seen, self)
        return np.asarray(expit(stayed_C - dropped_C), np.float64)

    def _still(self, repeats_C: Floats, age_C: Floats, time: float) -> Floats:
        """Purchases within `time` of one who is alive at `age_C` after so many repeats.

        The published hypergeometric function overflows for frequent buyers. Euler's
        transformation turns (1 - z)^(r + x) F(r + x, b + x; c; z) with c = a + b + x - 1 into
        (1 - z)^(a - 1) F(a + b - 1 - r, a - 1; c; z), which does not grow with x.
        """
        for near, name, value in (
            (self.a, "a", 1.0),
            (self.a + self.b, "b", 1.0 - self.a),
        ):
            if abs(near - 1.0) < _NEAR_ONE:  # 0 / 0, though smooth: the mean of both sides.
                below, above = (
                    replace(self, **{name: value + step})._still(repeats_C, age_C, time)
                    for step in (-2 * _NEAR_ONE, 2 * _NEAR_ONE)
                )
                return np.asarray((below + above) / 2.0, np.float64)
        r, alpha, a, b = self.r, self.alpha, self.a, self.b
        last_C = a + b + repeats_C - 1.0
        share_C = time / (alpha + age_C + time)
        series_C = hyp2f1(a + b - 1.0 - r, a - 1.0, last_C, share_C)
        return np.asarray(last_C / (a - 1.0) * (1.0 - (1.0 - share_C) ** (a - 1.0) * series_C))


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


def _terms(seen: Summary, model: BgNbd) -> tuple[Floats, Floats, Floats]:
    """(C,) each: the log likelihood, and the logs of its two alternatives: alive, dropped out.

    The alternatives share a factor, which is left out of both; -inf where one cannot have
    dropped out (no repeat).
    """
    r, alpha, a, b = model.r, model.alpha, model.a, model.b
    x_C = seen.repeats_C
    shared_C = (
        gammaln(r + x_C) - gammaln(r) + r * np.log(alpha)
        + gammaln(a + b) + gammaln(b + x_C) - gammaln(b) - gammaln(a + b + x_C)
    )  # fmt: skip
    stayed_C = -(r + x_C) * np.log(alpha + seen.age_C)
    again_C = x_C > 0
    dropped_C = np.where(
        again_C,
        np.log(a) - np.log(np.where(again_C, b + x_C - 1.0, 1.0))
        - (r + x_C) * np.log(alpha + seen.last_C),
        -np.inf,
    )  # fmt: skip
    return shared_C + np.logaddexp(stayed_C, dropped_C), stayed_C, dropped_C


def _with_slopes(seen: Summary, model: BgNbd) -> tuple[Floats, Floats]:
    """(C,) log likelihoods, and (4, C) their derivatives by r, alpha, a and b."""
    r, alpha, a, b = model.r, model.alpha, model.a, model.b
    x_C = seen.repeats_C
    values_C, stayed_C, dropped_C = _terms(seen, model)
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
