"""What a customer will still buy: BG/NBD and Gamma-Gamma, as a bundle keeps them.

BG/NBD (Fader, Hardie and Lee, "Counting Your Customers the Easy Way", Marketing Science 2005):
while alive a customer buys at a Poisson rate, drawn from Gamma(r, alpha) over customers; after
each purchase one drops out with a chance drawn from Beta(a, b). Gamma-Gamma (Fader and Hardie,
"The Gamma-Gamma Model of Monetary Value", 2013): a purchase is worth Gamma(p, nu), and nu varies
over customers as Gamma(q, v); money and frequency are independent.

P(alive) is no churn score: a customer who bought once has P(alive) = 1 by construction, however
long ago. Rank warnings by scores of `Task.CHURN`.

Training fits the parameters, serving asks for forecasts; the formulas stand here alone. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import numpy as np
import numpy.typing as npt
from scipy.special import expit, gammaln, hyp2f1

from nearline.say import Words
from nearline.transforms.buckets import PURCHASE_DAYS
from nearline.transforms.customer import CustomerState

# Axes: C customers, W weeks.
Floats = npt.NDArray[np.float64]
DAYS_A_WEEK = 7.0
WEEKS_A_YEAR = 365.25 / DAYS_A_WEEK
_NEAR_ONE = 1e-4  # a = 1 and a + b = 1 are 0 / 0 in the formulas; nearer than this is bridged.


class Unfitted(ValueError):
    """Purchases that no such model can be fitted to; `why` has no full stop."""

    def __init__(self, why: Words) -> None:
        self.why = why
        super().__init__(why)


@dataclass(frozen=True, slots=True)
class Summary:
    """Customers by their purchases, in one unit of time counted from each one's first.

    `repeats_C` counts purchases after the first, `last_C` is when the latest of them was (0
    without one), `age_C` is how long one has been a customer.
    """

    repeats_C: Floats
    last_C: Floats
    age_C: Floats

    def __len__(self) -> int:
        return len(self.repeats_C)


@dataclass(frozen=True, slots=True)
class BgNbd:
    """A fitted model: its four parameters, all above 0. Time is in any one unit (weeks here)."""

    r: float
    alpha: float
    a: float
    b: float

    def log_likelihood(self, seen: Summary) -> float:
        """Natural logarithm, summed over customers (their equation 6)."""
        return float(self.terms(seen)[0].sum())

    def expected(self, time: float) -> float:
        """Purchases up to `time` of a customer who starts at 0, the first not counted (eq. 9)."""
        start = np.zeros(1)
        return float(self._still(start, start, time)[0])

    def conditional(self, seen: Summary, time: float | Floats) -> Floats:
        """(C,): purchases within `time` from now, given what each did until now (eq. 10).

        Several times at once, (W, 1), give (W, C).
        """
        return self._still(seen.repeats_C, seen.age_C, time) * self.alive(seen)

    def alive(self, seen: Summary) -> Floats:
        """(C,): the chance of not having dropped out; 1 for who bought once (see above)."""
        _, stayed_C, dropped_C = self.terms(seen)
        return np.asarray(expit(stayed_C - dropped_C), np.float64)

    def terms(self, seen: Summary) -> tuple[Floats, Floats, Floats]:
        """(C,) each: the log likelihood, and the logs of its two alternatives: alive, dropped out.

        The alternatives share a factor, which is left out of both; -inf where one cannot have
        dropped out (no repeat).
        """
        r, alpha, a, b = self.r, self.alpha, self.a, self.b
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

    def _still(self, repeats_C: Floats, age_C: Floats, time: float | Floats) -> Floats:
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


@dataclass(frozen=True, slots=True)
class GammaGamma:
    """A fitted model; v is in the unit of money (cents here), p and q have none."""

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


@dataclass(frozen=True, slots=True)
class LifetimeModel:
    """Both models, in weeks and cents; `money` is None where spending could not be learnt."""

    purchases: BgNbd
    money: GammaGamma | None

    def value_cents(
        self, seen: Summary, mean_cents_C: Floats, weeks: int, yearly_discount: float
    ) -> Floats:
        """(C,): what each will spend within so many weeks, in cents of today.

        The purchases foreseen for each week, discounted to now from its end, times the value of
        a purchase. `mean_cents_C` is each one's mean spend a purchase so far. Raises Unfitted
        without `money`.
        """
        if self.money is None:
            raise Unfitted(
                Words("what customers spend could not be learnt", "未能学到顾客的消费金额")
            )
        ends_W1 = np.arange(1, weeks + 1).astype(np.float64)[:, np.newaxis]
        by_week_WC = np.diff(
            self.purchases.conditional(seen, ends_W1), axis=0, prepend=np.zeros((1, len(seen)))
        )
        worth_W = (1.0 + yearly_discount) ** (-np.arange(1, weeks + 1) / WEEKS_A_YEAR)
        each_C = self.money.conditional(seen.repeats_C + 1.0, mean_cents_C)
        return np.asarray((worth_W @ by_week_WC) * each_C, np.float64)

    def parameters(self) -> dict[str, dict[str, float]]:
        """As a bundle keeps them: weeks and cents."""
        kept = {"bg_nbd": asdict(self.purchases)}
        return kept | ({"gamma_gamma": asdict(self.money)} if self.money is not None else {})

    @classmethod
    def of_parameters(cls, kept: Mapping[str, Mapping[str, float]]) -> LifetimeModel:
        """The reverse of `parameters`; raises KeyError or TypeError for what it never wrote."""
        money = kept.get("gamma_gamma")
        return cls(BgNbd(**kept["bg_nbd"]), GammaGamma(**money) if money is not None else None)


def bought(state: CustomerState) -> bool:
    """Whether there is a purchase to go by."""
    return state.orders_total > 0


def counted(state: CustomerState) -> bool:
    """Whether the state holds the day of every purchase.

    Not where some lie more than ten years back, or were folded in by a version that kept no days:
    then a backfill tells them.
    """
    return sum(orders for _, orders in state.purchase_days) == state.orders_total


def summary_of(states: Sequence[CustomerState], as_of_us: int) -> Summary:
    """Buyers whose purchases are `counted`, in weeks; purchases of one day are one.

    At the last instant of a day it is what training knows of that day (`buyers_by`).
    """
    today = PURCHASE_DAYS.index_of(as_of_us)
    first_C = np.array([state.purchase_days[0][0] for state in states], np.float64)
    last_C = np.array([state.purchase_days[-1][0] for state in states], np.float64)
    days_C = np.array([len(state.purchase_days) for state in states], np.float64)
    age_C = np.maximum(today, last_C) - first_C
    return Summary(days_C - 1.0, (last_C - first_C) / DAYS_A_WEEK, age_C / DAYS_A_WEEK)


def mean_cents_of(states: Sequence[CustomerState]) -> Floats:
    """(C,): what each buyer has spent so far on a day of purchases, at least 0."""
    spent_C = np.array([max(0, state.spend_total_cents) for state in states], np.float64)
    return spent_C / np.array([len(state.purchase_days) for state in states], np.float64)
