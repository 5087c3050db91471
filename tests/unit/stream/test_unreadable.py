from __future__ import annotations

import random

import pytest
from msgspec.structs import replace

from nearline.contracts.event import Event, Line, decode_event, encode_event
from nearline.feast_layout import CUSTOMER_VIEW
from nearline.transforms import customer
from nearline.transforms.columns import customer_columns
from tests.unit.stream.made import event


def test_damaged_bytes_raise_value_error_and_nothing_else() -> None:
    chance = random.Random(7)
    data = encode_event(event("1", items=("é", "b"), category="茶具"))

    for _ in range(3_000):
        damaged = bytearray(data)
        for _ in range(chance.randrange(1, 4)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        try:
            decode_event(bytes(damaged))
        except ValueError:
            continue


@pytest.mark.parametrize(
    "changes",
    [
        {"value_cents": 10**13},
        {"occurred_at_us": 0},
        {"known_at_us": 10**18},
        {"lines": (Line("a", quantity=10**7),)},
        {"lines": (Line("a", price_cents=-(10**13)),)},
    ],
)
def test_numbers_that_could_overflow_a_column_are_unreadable(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="Expected `int`"):
        decode_event(encode_event(replace(event("1"), **changes)))


def test_the_dearest_readable_purchases_fit_a_column_a_million_times() -> None:
    dearest: Event = replace(
        event("1", name="purchase"),
        lines=tuple(Line(str(n), 10**6, 10**12) for n in range(1_000)),
    )
    state = customer.state_of(decode_event(encode_event(dearest)))

    assert state.spend_total_cents * 10**6 < 2**63
    CUSTOMER_VIEW.encode(customer_columns(state), 1)
