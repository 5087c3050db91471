"""Against the published figures, against formulas written another way, and against chance."""

from __future__ import annotations

import csv
import gzip
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.special import hyp2f1

from nearline.transforms.lifetime import BgNbd, Summary, Unfitted
from training.lifetime.bg_nbd import fit

PUBLISHED = BgNbd(r=0.2426, alpha=4.4135, a=0.7929, b=2.4258)


def one(repeats: float, last: float, age: float) -> Summary:
    return Summary(np.array([repeats]), np.array([last]), np.array([age]))


@pytest.fixture
def cdnow(shared: Path) -> Summary:
    """Fader, Hardie and Lee's own summary of the sample: 2,357 customers."""
    with gzip.open(shared / "data/cdnow/cdnow_customers_summary.csv.gz", "rt") as lines:
        rows = [[float(row[name]) for name in ("frequency", "recency", "T")]
                for row in csv.DictReader(lines)]  # fmt: skip
    seen = Summary(*np.array(rows).T)
    assert len(seen) == 2_357
    assert seen.repeats_C.sum() == 2_457
    return seen


def test_the_published_parameters_come_out_to_the_printed_digits(cdnow: Summary) -> None:
    model = fit(cdnow)

    found = tuple(round(value, 4) for value in (model.r, model.alpha, model.a, model.b))
    assert found == (0.2426, 4.4135, 0.7929, 2.4258)
    assert round(model.log_likelihood(cdnow), 2) == -9582.43


def test_the_published_expectations_come_out(cdnow: Summary) -> None:
    model = fit(cdnow)

    expected = {time: round(model.expected(time), 4) for time in (1.0, 3.0, 31.857)}
    assert expected == {1.0: 0.0532, 3.0: 0.1506, 31.857: 1.0405}
    assert round(model.expected(78.0), 3) == 1.858
    foreseen = model.conditional(one(2, 30.43, 38.86), 39.0)
    assert round(float(foreseen[0]), 3) == 1.226


def test_the_stable_form_equals_the_published_one_where_both_can_be_computed() -> None:
    r, alpha, a, b = PUBLISHED.r, PUBLISHED.alpha, PUBLISHED.a, PUBLISHED.b
    for x, last, age, time in ((0, 0.0, 20.0, 8.0), (2, 30.43, 38.86, 39.0), (9, 35.0, 37.0, 5.0)):
        z = time / (alpha + age + time)
        series = hyp2f1(r + x, b + x, a + b + x - 1, z)
        paced = ((alpha + age) / (alpha + age + time)) ** (r + x)
        odds = a / (b + x - 1) * ((alpha + age) / (alpha + last)) ** (r + x) if x else 0.0
        published = (a + b + x - 1) / (a - 1) * (1 - paced * series) / (1 + odds)

        ours = PUBLISHED.conditional(one(x, last, age), time)

        assert ours[0] == pytest.approx(published, rel=1e-9)


def test_a_buyer_of_thousands_of_times_gets_a_finite_forecast() -> None:
    seen = one(5_000, 99.99, 100.0)

    foreseen = float(PUBLISHED.conditional(seen, 10.0)[0])

    assert foreseen == pytest.approx(500, rel=0.1)  # 50 a week, and hardly ever lost
    assert 0.9 < float(PUBLISHED.alive(seen)[0]) <= 1.0


@pytest.mark.parametrize(("a", "b"), [(1.0, 2.0), (0.4, 0.6), (1.00005, 2.0)])
def test_nothing_jumps_where_the_formula_divides_by_nothing(a: float, b: float) -> None:
    model = BgNbd(0.5, 5.0, a, b)
    beside = [replace(model, a=a + step, b=b + step).expected(20.0) for step in (-0.01, 0.01)]

    assert sorted([*beside, model.expected(20.0)])[1] == model.expected(20.0)


@pytest.mark.parametrize("model", [PUBLISHED, BgNbd(0.8, 3.0, 0.2, 0.5), BgNbd(1.5, 2.0, 1.0, 1.0)])
def test_the_expectation_is_that_of_customers_who_live_by_its_story(model: BgNbd) -> None:
    draw = np.random.default_rng(5)
    bought = [_live(model, 12.0, draw) for _ in range(20_000)]

    error = np.std(bought) / np.sqrt(len(bought))
    assert abs(np.mean(bought) - model.expected(12.0)) < 4 * error


def test_who_bought_once_is_alive_by_construction_and_who_stopped_buying_is_not() -> None:
    seen = Summary(np.array([0.0, 10.0, 10.0]), np.array([0.0, 10.0, 38.0]), np.full(3, 39.0))

    alive = PUBLISHED.alive(seen)

    assert alive[0] == 1.0
    assert alive[1] < 0.02 < 0.9 < alive[2]


def test_purchases_that_tell_nothing_are_refused_with_a_sentence() -> None:
    with pytest.raises(Unfitted, match="nobody has bought twice"):
        fit(Summary(np.zeros(5), np.zeros(5), np.full(5, 3.0)))


def test_customers_who_are_all_alike_are_foreseen_though_nothing_varies() -> None:
    alike = Summary(
        np.full(40, 16.0), np.full(40, 8.0), np.full(40, 8.0)
    )  # two a week, nobody left

    model = fit(alike)

    assert model.conditional(alike, 4.0) == pytest.approx(8.0, rel=0.1)


def _live(model: BgNbd, until: float, draw: np.random.Generator) -> int:
    """One customer's repeats: a rate and a chance to leave after each purchase, drawn once."""
    pace, leaving = draw.gamma(model.r, 1 / model.alpha), draw.beta(model.a, model.b)
    bought, now = 0, draw.exponential(1 / max(pace, 1e-300))
    while now <= until:
        bought += 1
        if draw.random() < leaving:
            break
        now += draw.exponential(1 / pace)
    return bought
