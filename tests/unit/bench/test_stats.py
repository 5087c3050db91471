from __future__ import annotations

import random

import pytest

from nearline.bench.stats import percentile, ratio, summarise


def test_the_median_of_an_even_number_is_the_lower_of_the_middle_two() -> None:
    assert percentile([4.0, 1.0, 3.0, 2.0], 0.5) == 2.0


def test_p99_of_a_hundred_samples_is_the_second_largest() -> None:
    assert percentile([float(n) for n in range(1, 101)], 0.99) == 99.0


def test_p99_of_two_hundred_samples_leaves_two_above() -> None:
    assert percentile([float(n) for n in range(1, 201)], 0.99) == 198.0


def test_p99_of_few_samples_is_the_largest() -> None:
    assert percentile([1.0, 2.0, 9.0], 0.99) == 9.0


def test_a_percentile_agrees_with_counting_on_random_samples() -> None:
    rng = random.Random(7)
    for _ in range(200):
        samples = [rng.uniform(0, 10) for _ in range(rng.randint(1, 60))]
        share = rng.randint(1, 100) / 100
        naive = min(
            value
            for value in samples
            if sum(other <= value for other in samples) * 100 >= round(share * 100) * len(samples)
        )
        assert percentile(samples, share) == naive


@pytest.mark.parametrize("share", [0.0, -0.5, 1.01])
def test_a_share_outside_its_range_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="share"):
        percentile([1.0], share)


def test_no_samples_have_no_percentile() -> None:
    with pytest.raises(ValueError, match="at least one"):
        percentile([], 0.5)


def test_a_summary_tells_the_worst_and_the_mean() -> None:
    summary = summarise([1.0, 2.0, 6.0])

    assert (summary.n, summary.p50, summary.p99) == (3, 2.0, 6.0)
    assert (summary.largest, summary.mean) == (6.0, 3.0)


def test_a_ratio_to_nothing_is_none() -> None:
    assert ratio(6.0, 2.0) == 3.0
    assert ratio(6.0, 0.0) is None
