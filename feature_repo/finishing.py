"""The on-demand views' functions: stored columns in, finished features out.

Feast keeps the source text of `customer_features` and `item_features` in its registry and
runs it wherever features are read, so these two import what they need inside.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd  # Feast evaluates the annotations of both functions.

from nearline.feast_layout import CUSTOMER_VIEW, ITEM_VIEW, ViewLayout
from nearline.transforms import catalogue, customer, item
from nearline.transforms.columns import (
    Columns,
    customer_columns,
    customer_state,
    item_columns,
    item_state,
)

AS_OF = "as_of_us"  # The request's instant, UTC microseconds.


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """How one entity's stored columns become its features, and under which names."""

    service: str
    view: str  # the on-demand view
    layout: ViewLayout  # of the stored view
    features: tuple[catalogue.Feature, ...]
    state_of: Callable[[Mapping[str, Any]], Any]
    columns_of: Callable[[Any], Columns]
    finish: Callable[[Any, int], dict[str, float]]

    @property
    def names(self) -> list[str]:
        return [feature.name for feature in self.features]


CUSTOMER = Profile(
    "customer_profile_v1",
    "customer_features",
    CUSTOMER_VIEW,
    catalogue.CUSTOMER,
    customer_state,
    customer_columns,
    customer.finish,
)
ITEM = Profile(
    "item_profile_v1",
    "item_features",
    ITEM_VIEW,
    catalogue.ITEM,
    item_state,
    item_columns,
    item.finish,
)
PROFILES = {profile.service: profile for profile in (CUSTOMER, ITEM)}


def customer_features(inputs: pd.DataFrame) -> pd.DataFrame:
    """Finish the customer's windows at the instant of the request."""
    from feature_repo.finishing import CUSTOMER, finish_frame

    return finish_frame(CUSTOMER, inputs)


def item_features(inputs: pd.DataFrame) -> pd.DataFrame:
    """Finish the item's windows at the instant of the request."""
    from feature_repo.finishing import ITEM, finish_frame

    return finish_frame(ITEM, inputs)


def finish_frame(profile: Profile, inputs: pd.DataFrame) -> pd.DataFrame:
    """One row of features for each row of stored columns, as `<view>__<feature>`.

    Full names, because some features share theirs with a stored column (`views_total`), and
    Feast drops an output that is named like an input; it shortens them itself when asked.
    """
    columns = [name for name in profile.layout.columns if name in inputs.columns]
    rows = zip(*(inputs[name] for name in columns), strict=True)
    values = [
        profile.finish(
            profile.state_of({n: _present(v) for n, v in zip(columns, row, strict=True)}),
            int(as_of_us),
        )
        for row, as_of_us in zip(rows, inputs[AS_OF], strict=True)
    ]
    finished = pd.DataFrame(values, columns=profile.names, dtype="float64", index=inputs.index)
    return finished.add_prefix(f"{profile.view}__")


def _present(value: Any) -> Any:
    """The value; pandas writes NaN where an integer is absent, and that reads as None here."""
    return None if isinstance(value, float) and math.isnan(value) else value
