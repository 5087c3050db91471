from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion.collector.limits import Refused
from ingestion.collector.numbers import hundredths_of

LIMIT = 10**12


@pytest.mark.parametrize(
    ("value", "cents"),
    [
        (18.99, 1_899),
        (1.005, 100),  # 100.5 rounds half to even, as the decimal that was written
        (1.015, 102),
        (0.285, 28),
        ("0.295", 30),
        (4, 400),
        (0, 0),
        (-0.0, 0),
        (1e-300, 0),
        ("10000000000", LIMIT),
        (None, None),
        ("", None),
    ],
)
def test_an_amount_is_the_decimal_that_was_written(value: object, cents: int | None) -> None:
    assert hundredths_of(value, "price", LIMIT) == cents


@given(st.decimals(min_value=0, max_value=10**9, places=2))
def test_every_two_place_amount_survives_the_double(amount: Decimal) -> None:
    assert hundredths_of(float(amount), "price", LIMIT) == int(amount * 100)


@given(st.floats(min_value=0, max_value=1e9))
def test_any_double_rounds_as_its_shortest_decimal(value: float) -> None:
    exact = (Decimal(repr(value)) * 100).to_integral_value(ROUND_HALF_EVEN)

    assert hundredths_of(value, "price", LIMIT) == int(exact)


@pytest.mark.parametrize("value", [-1, 1e300, 10**30, "1e5", "NaN", "٣", "-1", [], True])
def test_what_is_no_amount_is_refused(value: object) -> None:
    with pytest.raises(Refused, match="amount_invalid"):
        hundredths_of(value, "price", LIMIT)
