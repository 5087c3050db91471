"""What serving knows of a buyer from the state is what training knows from all purchases."""

from __future__ import annotations

import random

import numpy as np
import pytest

from nearline.contracts.event import Event, Line
from nearline.transforms import customer, lifetime
from nearline.transforms.buckets import DAY_US
from nearline.transforms.columns import customer_columns, customer_state
from nearline.transforms.lifetime import BgNbd, GammaGamma, LifetimeModel
from training.lifetime.history import buyers_by

DAY = 20_700  # since 1970
BOTH = ("analytics", "personalization")


def bought(number: int, at_us: int, cents: int = 1_000) -> Event:
    return Event(
        event_id=f"e{number}",
        type="track",
        name="purchase",
        customer_id="ann",
        occurred_at_us=at_us,
        known_at_us=at_us,
        source="test",
        lines=(Line("i", 1, cents),),
        value_cents=cents,
        consent=BOTH,
    )


def test_purchases_of_a_day_are_one_and_weeks_count_from_the_first() -> None:
    days = (0, 0, 7, 21)
    state = customer.fold(bought(n, (DAY + day) * DAY_US + n) for n, day in enumerate(days))

    seen = lifetime.summary_of([state], (DAY + 28) * DAY_US + 5)

    assert state.purchase_days == ((DAY, 2), (DAY + 7, 1), (DAY + 21, 1))
    assert (seen.repeats_C[0], seen.last_C[0], seen.age_C[0]) == (2, 3, 4)
    assert lifetime.mean_cents_of([state]).tolist() == [pytest.approx(4_000 / 3)]


def test_at_the_end_of_a_day_serving_s_summary_is_training_s_in_whatever_order_it_was_folded() -> (
    None
):
    chance = random.Random(4)
    until = DAY + 90
    customers, days, states = [], [], []
    for row in range(50):
        own = [DAY + chance.randrange(90) for _ in range(chance.randrange(1, 30))]
        events = [bought(n, day * DAY_US + chance.randrange(DAY_US)) for n, day in enumerate(own)]
        chance.shuffle(events)
        states.append(customer.fold(events))
        customers += [row] * len(own)
        days += own

    learnt = buyers_by(np.array(customers), np.array(days), until).seen
    served = lifetime.summary_of(states, (until + 1) * DAY_US - 1)

    assert all(map(lifetime.counted, states))
    for name in ("repeats_C", "last_C", "age_C"):
        assert getattr(served, name).tobytes() == getattr(learnt, name).tobytes()


def test_a_row_of_before_days_were_kept_says_that_it_does_not_know_them_all() -> None:
    old = customer_columns(customer.fold([bought(1, DAY * DAY_US)]))
    del old["purchase_days"]

    state = customer_state(old) + customer.state_of(bought(2, (DAY + 3) * DAY_US))

    assert lifetime.bought(state)
    assert not lifetime.counted(state)
    assert lifetime.counted(customer.fold([bought(1, DAY * DAY_US)]))


def test_purchases_of_more_than_ten_years_ago_are_not_taken_for_none() -> None:
    state = customer.fold([bought(1, (DAY - 3_650) * DAY_US), bought(2, DAY * DAY_US)])

    assert state.purchase_days == ((DAY, 1),)
    assert not lifetime.counted(state)


@pytest.mark.parametrize("money", [GammaGamma(6.25, 3.74, 1_545.0), None])
def test_a_model_comes_out_of_a_bundle_as_it_went_in(money: GammaGamma | None) -> None:
    model = LifetimeModel(BgNbd(0.24, 4.4, 0.8, 2.4), money)

    assert LifetimeModel.of_parameters(model.parameters()) == model
