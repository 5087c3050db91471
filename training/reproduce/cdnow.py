"""CDNOW, 23,570 customers without contracts: who stops buying, and what they will still buy.

Fader and Hardie's data. Churn is judged month by month as a shop would: a snapshot on the first
of a month, a gap of 14 days in which nothing is asked, then 30 days in which a customer buys or
does not. Lifetime value is the published BG/NBD and Gamma-Gamma of the 1/10 sample.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt

from nearline.say import say
from nearline.transforms.lifetime import BgNbd, Summary
from training.config import ChurnConfig
from training.lifetime import bg_nbd, gamma_gamma
from training.lifetime.history import Buyers, bought_between, buyers_by
from training.reproduce.comparison import Check, Comparison, Gate, Origin, Place, Row, Watch
from training.reproduce.simple import asserted
from training.scores import figures, learner
from training.scores.rows import Rows, joined

# Axes: N days on which a customer bought, R rows (customers at snapshots), C customers.
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]

GAP_DAYS, HORIZON_DAYS, ACTIVE_DAYS, ALERT_RATE = 14, 30, 180, 0.3
FEATURES = (
    "purchase_age_days", "tenure_days", "days_bought", "items_total", "spend_total",
    *(f"{what}_{days}d" for days in (30, 60, 90, 180) for what in ("days_bought", "spend")),
    "mean_gap_days", "last_gap_days", "age_over_mean_gap", "mean_spend", "last_spend",
)  # fmt: skip
_SEED = 20_261_121
_FIRST_DAYS = tuple(np.datetime64(f"1997-{month:02d}-01") for month in range(4, 13)) + tuple(
    np.datetime64(f"1998-{month:02d}-01") for month in (1, 2, 3)
)
_TEST = np.datetime64("1998-04-01")
_EARLIER = (np.datetime64("1998-03-01"), np.datetime64("1998-02-01"))  # judged too, no gate
_CUT, _END = np.datetime64("1997-09-30"), np.datetime64("1998-06-30")
_CONFIG = ChurnConfig(
    trees=200, depth=3, learning_rate=0.05, smallest_leaf=1.0, calibration_snapshots=3
)
_OURS = "XGBoost, calibrated"
_HERE = "measured before on this file, with these dates"
_PAPER = "Fader, Hardie and Lee 2005; spending: Fader and Hardie 2013"


@dataclass(frozen=True)
class Purchases:
    """Days on which customers bought, sorted by customer and day. Days count from 1970."""

    customer_N: Ints
    day_N: Ints
    items_N: Floats
    spend_N: Floats

    def before(self, day: int) -> Purchases:
        """What was bought on earlier days."""
        kept = self.day_N < day
        return Purchases(
            self.customer_N[kept], self.day_N[kept], self.items_N[kept], self.spend_N[kept]
        )


def run(place: Place, watch: Watch) -> list[Comparison]:
    """Churn on all customers, then lifetime value on the published sample."""
    watch.stage(say("CDNOW, churn", "CDNOW，流失"), 4)
    whole = read(place.data / "cdnow/cdnow_master.parquet", "customer_id")
    found = churn(whole, place.threads, watch)
    watch.stage(say("CDNOW, lifetime value", "CDNOW，终身价值"), 2)
    sample = read(place.data / "cdnow/cdnow_sample.parquet", "sample_customer_id")
    summary = read_summary(place.data / "cdnow/cdnow_customers_summary.csv.gz")
    return [found, lifetime(sample, summary, watch)]


def read(path: Path, customer: str) -> Purchases:
    """The log with purchases of one day merged, as the papers do."""
    with duckdb.connect() as connection:
        columns = connection.execute(
            f"SELECT {customer} AS customer, CAST(date AS DATE) - DATE '1970-01-01' AS day, "  # noqa: S608 - our own column
            "sum(number_of_cds) AS items, sum(dollar_value) AS spend "
            "FROM read_parquet(?) GROUP BY ALL ORDER BY customer, day",
            [str(path)],
        ).fetchnumpy()
    return Purchases(
        np.asarray(columns["customer"], np.int64),
        np.asarray(columns["day"], np.int64),
        np.asarray(columns["items"], np.float64),
        np.asarray(columns["spend"], np.float64),
    )


def read_summary(path: Path) -> Summary:
    """The authors' own summary of the sample, whose weeks have two decimals."""
    with duckdb.connect() as connection:
        columns = connection.execute(
            "SELECT frequency, recency, T FROM read_csv(?) ORDER BY ID", [str(path)]
        ).fetchnumpy()
    repeats, last, age = (
        np.asarray(columns[name], np.float64) for name in ("frequency", "recency", "T")
    )
    _asserted_sample(len(repeats), int(repeats.sum()))
    return Summary(repeats, last, age)


def _asserted_sample(customers: int, repeats: int) -> None:
    counted = {"customers": customers, "repeat purchases": repeats}
    asserted("cdnow's sample", counted, {"customers": 2_357, "repeat purchases": 2_457})


def churn(bought: Purchases, threads: int, watch: Watch) -> Comparison:
    """The table of those who stop buying."""
    customers = len(np.unique(bought.customer_N))
    asserted("cdnow", {"customers": customers}, {"customers": 23_570})
    known = _matured(_TEST)
    train = joined([rows_at(bought, day, active=True) for day in known], len(FEATURES))
    test, everybody = (rows_at(bought, _TEST, active=active) for active in (True, False))
    watch.step(note=f"{len(train):,} rows to learn from, {len(test):,} active customers to judge")
    started = time.monotonic()
    booster, curve = learner.learn(train, FEATURES, _CONFIG, _SEED, threads)
    seconds = time.monotonic() - started
    chances = learner.calibrated(curve, learner.raw(booster, test))
    ours = figures.figures(test.labels_R, chances, ALERT_RATE)
    watch.step(note=f"active: AUC {ours['auc']:.4f}, ECE {ours['ece']:.4f}")
    parted = figures.figures(test.labels_R, learner.raw(booster, test), ALERT_RATE)
    overall = figures.figures(
        everybody.labels_R, learner.calibrated(curve, learner.raw(booster, everybody)), ALERT_RATE
    )
    earlier = [_earlier(bought, day, threads) for day in _EARLIER]
    watch.step(note=f"everybody: AUC {overall['auc']:.4f}")
    recency = test.features_RF[:, FEATURES.index("purchase_age_days")].astype(np.float64)
    left, left_of_all = (1.0 - _alive(bought, of.customer_R) for of in (test, everybody))
    watch.step(note="P(alive)")
    return Comparison(
        title="CDNOW: who stops buying",
        protocol=(
            f"Snapshots on the first of a month; 1 for no purchase within {HORIZON_DAYS} days "
            f"after a gap of {GAP_DAYS}. Learnt from {known[0]} to {known[-1]}, whose labels had "
            f"matured by the test, {_TEST}. Judged on customers who bought within "
            f"{ACTIVE_DAYS} days before it, but for the row that says otherwise; features end "
            "before the snapshot."
        ),
        statistics={
            "customers": customers,
            "rows learnt from": len(train),
            "active customers judged": len(test),
            "of them without a purchase": int(test.labels_R.sum()),
        },
        metrics=("auc", "ap", "ece", "brier"),
        rows=(
            Row("recency", Origin.SIMPLE, _order(test.labels_R, recency), "days unseen, alone"),
            Row("XGBoost, raw", Origin.OURS, parted, "depth 3, rate .05, 200 trees"),
            Row(
                _OURS,
                Origin.OURS,
                ours,
                "the same, calibrated on the newest 3 months, the product's default",
            ),
            *(
                Row(f"{_OURS}, judged {day}", Origin.OURS, found, "the same procedure, earlier")
                for day, found in zip(_EARLIER, earlier, strict=True)
            ),
            Row(
                "XGBoost, all customers",
                Origin.OURS,
                overall,
                "a flattering cohort: mostly recency, no gate is set on it",
            ),
            Row(
                "1 - P(alive) of BG/NBD",
                Origin.SIMPLE,
                _order(test.labels_R, left),
                "no churn score: see the remarks",
            ),
            Row(
                "1 - P(alive), all customers",
                Origin.SIMPLE,
                _order(everybody.labels_R, left_of_all),
                "a trap: who bought once is alive by construction",
            ),
            Row("recency", Origin.PUBLISHED, {"auc": 0.650}, _HERE),
            Row(
                "XGBoost, active customers",
                Origin.PUBLISHED,
                {"auc": 0.733, "ap": 0.912, "ece": 0.016},
                _HERE,
            ),
            Row("XGBoost, all customers", Origin.PUBLISHED, {"auc": 0.839}, _HERE),
            Row("1 - P(alive)", Origin.PUBLISHED, {"auc": 0.344}, f"{_HERE}; cohort not said"),
        ),
        gates=(Gate(_OURS, "auc", 0.72), Gate(_OURS, "ece", 0.03, below=True)),
        checks=(
            Check("recency", "auc", 0.650, within=0.01),
            Check("XGBoost, all customers", "auc", 0.839, within=0.01),
        ),
        remarks=(
            "P(alive) of one who bought once is 1, however long ago. Over all customers, most of "
            "whom bought once and never again, it is therefore worse than a coin; among those "
            "lately active it orders better than recency and worse than the trees.",
            "The share of active customers who do not buy differs from month to month (Christmas, "
            "then January), and no model knows the next month's: this is most of the ECE. The rows "
            "judged earlier show how much the same procedure differs from month to month.",
        ),
        seconds={_OURS: seconds},
        seed=_SEED,
    )


def _matured(by: np.datetime64) -> list[np.datetime64]:
    """Snapshots whose labels had matured by a day."""
    ends = np.timedelta64(GAP_DAYS + HORIZON_DAYS, "D")
    return [day for day in _FIRST_DAYS if day + ends <= by]


def _earlier(bought: Purchases, day: np.datetime64, threads: int) -> dict[str, float]:
    """The same procedure, judged on an earlier snapshot."""
    rows = [rows_at(bought, known, active=True) for known in _matured(day)]
    booster, curve = learner.learn(joined(rows, len(FEATURES)), FEATURES, _CONFIG, _SEED, threads)
    test = rows_at(bought, day, active=True)
    chances = learner.calibrated(curve, learner.raw(booster, test))
    return figures.figures(test.labels_R, chances, ALERT_RATE)


def lifetime(bought: Purchases, summary: Summary, watch: Watch) -> Comparison:
    """The table of what customers will still buy and spend."""
    cut, end = _day(_CUT), _day(_END)
    buyers = buyers_by(bought.customer_N, bought.day_N, cut)
    _asserted_sample(len(buyers.seen), int(buyers.seen.repeats_C.sum()))
    started = time.monotonic()
    model = bg_nbd.fit(summary)
    weeks = (end - cut) / 7
    actual = bought_between(bought.customer_N, bought.day_N, cut, end, buyers.customer_C)
    foretold = model.conditional(buyers.seen, weeks)
    rate = buyers.seen.repeats_C / buyers.seen.age_C * weeks
    watch.step(note=f"r {model.r:.4f}, alpha {model.alpha:.4f}, a {model.a:.4f}, b {model.b:.4f}")
    times, means = repeat_spending(bought.before(cut + 1), buyers)
    money = gamma_gamma.fit(times, means)
    seconds = time.monotonic() - started
    watch.step(note=f"p {money.p:.2f}, q {money.q:.2f}, v {money.v:.2f}, mean {money.mean:.2f}")
    known = Summary(np.array([2.0]), np.array([30.43]), np.array([38.86]))
    ours = {
        "r": model.r,
        "alpha": model.alpha,
        "a": model.a,
        "b": model.b,
        "log_likelihood": model.log_likelihood(summary),
        "expected_1": model.expected(1.0),
        "expected_3": model.expected(3.0),
        "expected_31.857": model.expected(31.857),
        "expected_78": model.expected(78.0),
        "conditional_39": float(model.conditional(known, 39.0)[0]),
        "holdout_purchases": float(foretold.sum()),
        "holdout_correlation": float(np.corrcoef(foretold, actual)[0, 1]),
        "p": money.p,
        "q": money.q,
        "v": money.v,
        "mean_spend": money.mean,
    }
    published = {
        "r": 0.2426, "alpha": 4.4135, "a": 0.7929, "b": 2.4258, "log_likelihood": -9_582.43,
        "expected_1": 0.0532, "expected_3": 0.1506, "expected_31.857": 1.0405,
        "expected_78": 1.858, "conditional_39": 1.226, "holdout_purchases": 1_653.0,
        "holdout_correlation": 0.626, "p": 6.25, "q": 3.74, "v": 15.45, "mean_spend": 35.17,
    }  # fmt: skip
    name = "BG/NBD and Gamma-Gamma"
    return Comparison(
        title="CDNOW: what customers will still buy",
        protocol=(
            f"The published 1/10 sample; learnt up to {_CUT}, judged on the {weeks:.0f} weeks to "
            f"{_END}. Parameters from the authors' summary, whose weeks have two decimals; the "
            "holdout from the log. Purchases of a day are one, a week is 7 days. Spending: "
            "customers who bought again for more than nothing, by the mean of their repeats. "
            "expected_t: purchases of a new customer within t weeks; conditional_39: of one with "
            "2 repeats, the last at week 30.43 of 38.86, within 39 more."
        ),
        statistics={
            "customers": len(buyers.seen),
            "repeat purchases learnt from": int(buyers.seen.repeats_C.sum()),
            "purchases in the holdout": int(actual.sum()),
            "customers whose spending is known": len(times),
        },
        metrics=tuple(ours),
        rows=(
            Row(
                "past rate held on",
                Origin.SIMPLE,
                {
                    "holdout_purchases": float(rate.sum()),
                    "holdout_correlation": float(np.corrcoef(rate, actual)[0, 1]),
                },
                "repeats a week so far",
            ),
            Row(name, Origin.OURS, ours),
            Row(name, Origin.PUBLISHED, published, _PAPER),
            Row("past rate held on", Origin.PUBLISHED, {"holdout_correlation": 0.584}, _HERE),
        ),
        gates=(Gate(name, "holdout_correlation", 0.62),),
        checks=tuple(
            Check(name, metric, value, within=_half_digit(value, metric))
            for metric, value in published.items()
        ),
        remarks=(
            "Checks hold to half a unit of the last digit printed; p, q and v to one unit.",
            "The holdout total is less than what was bought: the model knows no Christmas.",
        ),
        seconds={name: seconds},
    )


def rows_at(bought: Purchases, snapshot: np.datetime64, *, active: bool) -> Rows:
    """Customers known before a snapshot, lately active or all, and who then did not buy."""
    day = _day(snapshot)
    past = bought.before(day)
    customers, first, counts = np.unique(past.customer_N, return_index=True, return_counts=True)
    last = first + counts - 1
    age = (day - past.day_N[last]).astype(np.float64)
    tenure = (day - past.day_N[first]).astype(np.float64)
    span = (past.day_N[last] - past.day_N[first]).astype(np.float64)
    again = counts > 1
    mean_gap = np.where(again, span / np.maximum(counts - 1, 1), np.nan)
    before_last = past.day_N[np.maximum(last - 1, 0)]
    last_gap = np.where(again, past.day_N[last] - before_last, np.nan)
    place = np.repeat(np.arange(len(customers)), counts)

    def total(values_N: Floats, days: int | None = None) -> Floats:
        kept = values_N if days is None else values_N * (past.day_N >= day - days)
        return np.bincount(place, kept, minlength=len(customers)).astype(np.float64)

    ones, spend = np.ones(len(place)), total(past.spend_N)
    windows = [total(values, days) for days in (30, 60, 90, 180) for values in (ones, past.spend_N)]
    columns = [
        age, tenure, counts, total(past.items_N), spend, *windows, mean_gap, last_gap,
        age / mean_gap, spend / counts, past.spend_N[last],
    ]  # fmt: skip
    opens, closes = day + GAP_DAYS, day + GAP_DAYS + HORIZON_DAYS
    bought_then = bought.customer_N[(bought.day_N >= opens) & (bought.day_N < closes)]
    rows = Rows(
        np.column_stack(columns).astype(np.float32),
        (~np.isin(customers, bought_then)).astype(np.float64),
        customers,
        np.full(len(customers), day, np.int64),
    )
    return rows.pick(age <= ACTIVE_DAYS) if active else rows


def repeat_spending(bought: Purchases, buyers: Buyers) -> tuple[Floats, Floats]:
    """(repeats, mean spend of a repeat) of each customer who bought again for more than nothing."""
    first = np.flatnonzero(np.diff(bought.customer_N, prepend=-1))
    again = np.ones(len(bought.customer_N), bool)
    again[first] = False
    place = np.searchsorted(buyers.customer_C, bought.customer_N[again])
    times = np.bincount(place, minlength=len(buyers.customer_C)).astype(np.float64)
    spent = np.bincount(place, bought.spend_N[again], minlength=len(buyers.customer_C))
    paid = spent > 0
    return times[paid], spent[paid] / times[paid]


def _alive(bought: Purchases, customer_R: Ints) -> Floats:
    """P(alive) on the eve of the test, by BG/NBD over all customers."""
    eve = _day(_TEST) - 1
    buyers = buyers_by(bought.customer_N, bought.day_N, eve)
    model: BgNbd = bg_nbd.fit(buyers.seen)
    return model.alive(buyers.seen)[np.searchsorted(buyers.customer_C, customer_R)]


def _order(labels_R: Floats, scores_R: Floats) -> dict[str, float]:
    """Figures of a score that is no probability."""
    from sklearn.metrics import average_precision_score, roc_auc_score

    return {
        "auc": float(roc_auc_score(labels_R, scores_R)),
        "ap": float(average_precision_score(labels_R, scores_R)),
    }


def _half_digit(value: float, metric: str) -> float:
    """Half a unit of the last digit of a published figure, as a share of it; see the remarks."""
    printed = f"{value:g}"
    unit = 10.0 ** -len(printed.partition(".")[2])
    return (1.0 if metric in ("p", "q", "v") else 0.5) * unit / abs(value)


def _day(date: np.datetime64) -> int:
    return int(date.astype("datetime64[D]").astype(np.int64))
