"""Rates and quantiles between two scrapes, against numbers worked out by hand."""

from __future__ import annotations

import math
import random
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from nearline.top.window import Histogram, Window, parse

INF = math.inf


def window(before: str, after: str, seconds: float = 10.0) -> Window:
    return Window(parse(before), parse(after), seconds)


def test_a_page_is_read_by_name_and_labels() -> None:
    page = '# HELP n_total What.\n# TYPE n_total counter\nn_total{b="2",a="1"} 3\nup 1\n'

    assert parse(page) == {"n_total": {(("a", "1"), ("b", "2")): 3.0}, "up": {(): 1.0}}


def test_what_is_no_page_is_refused() -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - of the library
        parse("<html>hello</html>")


def test_a_rate_is_the_growth_over_the_seconds_by_label() -> None:
    found = window('n_total{x="a"} 100\nn_total{x="b"} 7', 'n_total{x="a"} 150\nn_total{x="b"} 7')

    assert found.per_s("n_total", "x") == {"a": 5.0, "b": 0.0}
    assert found.per_s("n_total") == {"": 5.0}
    assert found.per_s("n_total", "x", x="b") == {"b": 0.0}
    assert found.now("n_total") == {"": 157.0}


def test_a_counter_that_fell_was_started_anew_from_zero() -> None:
    assert window("n_total 100", "n_total 30").per_s("n_total") == {"": 3.0}


def test_a_series_that_is_new_began_at_zero() -> None:
    assert window("", 'n_total{x="a"} 4').per_s("n_total", "x") == {"a": 0.4}


def test_a_metric_that_is_not_there_is_nothing() -> None:
    assert window("", "").per_s("n_total") == {}
    assert window("", "").histogram("h") == Histogram()


def test_a_quantile_lies_within_its_bucket_as_far_as_its_rank() -> None:
    # 10 observations: 4 up to 10 ms, 4 more up to 50, 2 more up to 100.
    found = Histogram((10.0, 50.0, 100.0, INF), (4.0, 8.0, 10.0, 10.0))

    assert found.quantile(0.2) == pytest.approx(5.0)  # rank 2 of 4 in [0, 10]
    assert found.quantile(0.5) == pytest.approx(20.0)  # rank 5: the 1st of 4 in [10, 50]
    assert found.quantile(0.99) == pytest.approx(97.5)  # rank 9.9: 1.9 of 2 in [50, 100]
    assert found.quantile(1.0) == pytest.approx(100.0)


def test_beyond_the_last_finite_bound_that_bound_is_all_that_is_known() -> None:
    assert Histogram((10.0, INF), (1.0, 100.0)).quantile(0.5) == 10.0


def test_nothing_observed_has_no_quantile_and_no_shares() -> None:
    empty = Histogram((10.0, INF), (0.0, 0.0))

    assert empty.quantile(0.5) is None
    assert empty.shares() == ()
    assert Histogram().quantile(0.5) is None


def test_shares_are_those_of_each_bucket_alone() -> None:
    found = Histogram((10.0, 50.0, INF), (1.0, 4.0, 5.0))

    assert found.shares() == ((10.0, 0.2), (50.0, pytest.approx(0.6)), (INF, pytest.approx(0.2)))


def test_a_histogram_is_that_of_the_window_over_all_series_asked_for() -> None:
    before = """h_bucket{r="a",le="10"} 5
h_bucket{r="a",le="+Inf"} 9
h_bucket{r="b",le="10"} 1
h_bucket{r="b",le="+Inf"} 1"""
    after = """h_bucket{r="a",le="10"} 7
h_bucket{r="a",le="+Inf"} 12
h_bucket{r="b",le="10"} 2
h_bucket{r="b",le="+Inf"} 2"""
    found = window(before, after)

    assert found.histogram("h") == Histogram((10.0, INF), (3.0, 4.0))
    assert found.histogram("h", r="a") == Histogram((10.0, INF), (2.0, 3.0))


def test_buckets_that_were_scraped_while_they_changed_are_made_monotone() -> None:
    page = 'h_bucket{le="1"} 5\nh_bucket{le="2"} 4\nh_bucket{le="+Inf"} 5'

    assert window("", page).histogram("h").counts == (5.0, 5.0, 5.0)


def test_quantiles_are_those_of_prometheus_itself(tmp_path: Path) -> None:
    """Thirty histograms of chance, each asked of Prometheus' own engine."""
    if shutil.which("promtool") is None:
        pytest.skip("NOT CHECKED: no promtool here (Debian: apt-get install prometheus)")
    rng, cases = random.Random(7), []
    for number in range(30):
        bounds = sorted(rng.sample(range(1, 1_000), rng.randint(2, 8)))
        counts = [float(rng.randint(0, 9) * rng.randint(0, 1)) for _ in range(len(bounds) + 1)]
        cumulative = tuple(sum(counts[: place + 1]) for place in range(len(counts)))
        share = rng.choice([0.0, 0.1, 0.5, 0.9, 0.99, 1.0])
        ours = Histogram((*map(float, bounds), INF), cumulative).quantile(share)
        if ours is None or (share == 0.0 and counts[0] == 0.0):
            continue  # Prometheus says NaN to both.
        series = [
            {"series": f'h_bucket{{n="{number}", le="{le}"}}', "values": f"{count:.0f}"}
            for le, count in zip([*map(str, bounds), "+Inf"], cumulative, strict=True)
        ]
        expression = f'histogram_quantile({share}, h_bucket{{n="{number}"}})'
        cases.append((series, expression, number, ours))
    assert len(cases) > 15
    tests = {
        "tests": [
            {
                "interval": "1m",
                "input_series": [one for series, *_ in cases for one in series],
                "promql_expr_test": [
                    {
                        "expr": f"abs({expression} - {ours!r}) < bool 1e-9",
                        "eval_time": "0m",
                        "exp_samples": [{"labels": f'{{n="{number}"}}', "value": 1}],
                    }
                    for _, expression, number, ours in cases
                ],
            }
        ]
    }
    file = tmp_path / "tests.yml"
    file.write_text(yaml.safe_dump(tests))

    done = subprocess.run(
        ["promtool", "test", "rules", str(file)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
