"""What scores of a customer are computed from: one row of numbers, in training and in serving.

Pure. A row is a customer's own features; for `Task.CATEGORY_DEMAND` those and the features of the
customer with one category.
"""

from __future__ import annotations

from collections.abc import Mapping

from nearline.contracts.bundle import Task
from nearline.transforms import customer
from nearline.transforms.customer import CUSTOMER_FEATURES, CustomerState
from nearline.transforms.demand import DEMAND_FEATURES, demand

ROW_FEATURES: Mapping[Task, tuple[str, ...]] = {
    Task.CHURN: CUSTOMER_FEATURES,
    Task.REPURCHASE: CUSTOMER_FEATURES,
    Task.CATEGORY_DEMAND: (*CUSTOMER_FEATURES, *DEMAND_FEATURES),
}


def customer_row(state: CustomerState, as_of_us: int) -> tuple[float, ...]:
    """`CUSTOMER_FEATURES` in their order; NaN marks what does not exist."""
    return tuple(customer.finish(state, as_of_us).values())


def demand_rows(
    state: CustomerState,
    as_of_us: int,
    popularity: Mapping[str, float],
    own: tuple[float, ...] | None = None,
) -> dict[str, tuple[float, ...]]:
    """The row of each category that the customer is remembered to have met; see `demand`.

    `own` is the `customer_row` where it is at hand.
    """
    own = customer_row(state, as_of_us) if own is None else own
    found = demand(state, as_of_us, popularity)
    return {category: (*own, *values) for category, values in found.items()}
